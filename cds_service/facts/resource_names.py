"""Names of FHIR resource types that no rule reads: R4 (4.0.1), with the R4B, R5 and STU3 names that differ.

A tagged union fails as a whole on a tag it does not know, so each of these gets an empty struct in `wire`.
"""

from __future__ import annotations

_NAMES = """
    Account ActivityDefinition AdministrableProductDefinition AdverseEvent Appointment AppointmentResponse
    AuditEvent Basic Binary BiologicallyDerivedProduct BodyStructure CapabilityStatement CarePlan CareTeam
    CatalogEntry ChargeItem ChargeItemDefinition Citation Claim ClaimResponse ClinicalImpression
    ClinicalUseDefinition CodeSystem Communication CommunicationRequest CompartmentDefinition Composition
    ConceptMap Consent Contract Coverage CoverageEligibilityRequest CoverageEligibilityResponse DetectedIssue
    Device DeviceDefinition DeviceMetric DeviceRequest DeviceUseStatement DocumentManifest DocumentReference
    EffectEvidenceSynthesis Encounter Endpoint EnrollmentRequest EnrollmentResponse EpisodeOfCare
    EventDefinition Evidence EvidenceReport EvidenceVariable ExampleScenario ExplanationOfBenefit
    FamilyMemberHistory Flag Goal GraphDefinition Group GuidanceResponse HealthcareService ImagingStudy
    Immunization ImmunizationEvaluation ImmunizationRecommendation ImplementationGuide Ingredient InsurancePlan
    Invoice Library Linkage List Location ManufacturedItemDefinition Measure MeasureReport Media
    MedicationAdministration MedicationKnowledge MedicinalProduct MedicinalProductAuthorization
    MedicinalProductContraindication MedicinalProductDefinition MedicinalProductIndication
    MedicinalProductIngredient MedicinalProductInteraction MedicinalProductManufactured MedicinalProductPackaged
    MedicinalProductPharmaceutical MedicinalProductUndesirableEffect MessageDefinition MessageHeader
    MolecularSequence NamingSystem NutritionOrder NutritionProduct ObservationDefinition OperationDefinition
    Organization OrganizationAffiliation PackagedProductDefinition Parameters PaymentNotice
    PaymentReconciliation Person PlanDefinition Practitioner PractitionerRole Provenance Questionnaire
    QuestionnaireResponse RegulatedAuthorization RelatedPerson RequestGroup ResearchDefinition
    ResearchElementDefinition ResearchStudy ResearchSubject RiskAssessment RiskEvidenceSynthesis Schedule
    SearchParameter Slot SpecimenDefinition StructureDefinition StructureMap Subscription SubscriptionStatus
    SubscriptionTopic Substance SubstanceDefinition SubstanceNucleicAcid SubstancePolymer SubstanceProtein
    SubstanceReferenceInformation SubstanceSourceMaterial SubstanceSpecification SupplyDelivery SupplyRequest
    Task TerminologyCapabilities TestReport TestScript ValueSet VerificationResult VisionPrescription BodySite
    DataElement DeviceComponent DeviceUseRequest DiagnosticOrder EligibilityRequest EligibilityResponse
    ExpansionProfile ImagingManifest MedicationOrder ProcedureRequest ProcessRequest ProcessResponse
    ReferralRequest Sequence ServiceDefinition ActorDefinition ArtifactAssessment
    BiologicallyDerivedProductDispense ConditionDefinition DeviceAssociation DeviceDispense DeviceUsage
    EncounterHistory FormularyItem GenomicStudy ImagingSelection InventoryItem InventoryReport Permission
    RequestOrchestration Requirements TestPlan Transport
"""

UNREAD_TYPES: tuple[str, ...] = tuple(_NAMES.split())
