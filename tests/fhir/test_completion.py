"""What prefetch lacks is asked for, nothing else is, and every answer means what table 2.4.1 says."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from cds_service.clients.model import Client
from cds_service.fhir.complete import NOTHING_TO_ADD
from cds_service.fhir.prefetch import RequiredDataMissing, gather
from cds_service.fhir.queries import QUERIES
from cds_service.settings import ClientProfile
from tests.fhir.ehr_record import BASE, EhrRecord, bundle, outcome
from tests.fhir.fake_ehr import AUTHORIZATION, CLIENT, FakeEhr, complete, gaps, gathered, outcomes, request_of

SUBJECT = {"reference": "Patient/1"}
PATIENT = {"resourceType": "Patient", "id": "1", "gender": "female", "birthDate": "1950-02-03"}
DRUG = {"resourceType": "MedicationRequest", "id": "m1", "status": "active", "intent": "order", "subject": SUBJECT}
DIAGNOSIS = {"resourceType": "Condition", "id": "c1", "subject": SUBJECT}
LAB = [{"coding": [{"code": "laboratory"}]}]
RESULTS = [
    {"resourceType": "Observation", "id": f"o{at}", "status": "final", "category": LAB, "subject": SUBJECT}
    for at in range(5)
]
RECORD = EhrRecord([PATIENT, DRUG, DIAGNOSIS, *RESULTS])
KEYS = [query.key for query in QUERIES]
NEEDED = ["medications", "conditions", "observations"]
OPTIONAL = ["allergies", "procedures", "service-requests"]
STRANGER = {"reference": "Patient/2"}


def instead(path: str, *answers: Any) -> Any:
    """Answers for one path in turn, the last one again and again; all else comes from the record."""
    left = list(answers)

    def answer(url: str) -> Any:
        if url.removeprefix(BASE).lstrip("/").split("?")[0] != path:
            return None
        return left.pop(0) if len(left) > 1 else left[0]

    return answer


def path_of(key: str) -> str:
    template = next(query.template for query in QUERIES if query.key == key)
    return template.partition("?")[0].replace("{{context.patientId}}", "1")


def without(*keys: str) -> dict[str, Any]:
    return RECORD.prefetch([key for key in KEYS if key not in keys])


# -- what is asked


def test_nothing_is_asked_when_all_was_prefetched() -> None:
    ehr = FakeEhr(RECORD)
    assert complete(ehr, request_of(RECORD, RECORD.prefetch())) is NOTHING_TO_ADD
    assert ehr.seen == []


@pytest.mark.parametrize("key", KEYS)
def test_only_what_is_missing_is_asked(key: str) -> None:
    ehr = FakeEhr(RECORD)
    completion = complete(ehr, request_of(RECORD, without(key)))
    assert [one.key for one in completion.fetched] == [key]
    template = next(query.template for query in QUERIES if query.key == key)
    assert [one.url for one in ehr.seen] == [f"{BASE}/{template.replace('{{context.patientId}}', '1')}"]


@pytest.mark.parametrize("value", [None, bundle(), outcome("error"), 7, DRUG])
@pytest.mark.parametrize("key", ["medications", "MedicationRequest"])
def test_a_key_that_was_answered_is_not_asked_again(key: str, value: Any) -> None:
    ehr = FakeEhr(RECORD)
    complete(ehr, request_of(RECORD, without("medications") | {key: value}))
    assert ehr.seen == []


def test_data_under_an_unknown_key_are_not_asked_again() -> None:
    statement = {"resourceType": "MedicationStatement", "id": "s1", "status": "active", "subject": SUBJECT}
    renamed = {"item1": bundle(PATIENT), "item2": bundle(DRUG), "item3": bundle(statement)}
    ehr = FakeEhr(RECORD)
    complete(ehr, request_of(RECORD, without("patient", "medications", "medication-statements") | renamed))
    assert ehr.seen == []


def test_a_clients_own_keys_are_not_asked_again() -> None:
    client = Client(
        id="ehr", fhir_servers=CLIENT.fhir_servers, profile=ClientProfile(prefetch_keys={"problems": "conditions"})
    )
    ehr = FakeEhr(RECORD)
    complete(ehr, request_of(RECORD, without("conditions") | {"problems": bundle()}), client)
    assert ehr.seen == []


def test_patient_ids_are_encoded() -> None:
    odd = EhrRecord([PATIENT | {"id": "a.b-1"}])
    ehr = FakeEhr(odd)
    complete(ehr, request_of(odd, None, context={"userId": "Practitioner/1", "patientId": "a/../b?x=1&y#z"}))
    asked = {one.url for one in ehr.seen}
    assert f"{BASE}/Patient/a%2F..%2Fb%3Fx%3D1%26y%23z" in asked
    assert all((url or "").startswith(f"{BASE}/") and "/../" not in (url or "") for url in asked)


def test_a_kind_outside_the_scope_is_not_asked_and_is_named() -> None:
    scope = "patient/Patient.r patient/MedicationRequest.rs patient/Observation.rs?category=laboratory"
    ehr = FakeEhr(RECORD)
    request = request_of(RECORD, None, fhirAuthorization=AUTHORIZATION | {"scope": scope})
    found = gathered(ehr, request)
    assert ehr.paths == {"Patient/1", "MedicationRequest", "Observation"}
    assert len(ehr.seen) == 3
    assert found.not_supplied >= {"conditions", "allergies", "procedures", "service-requests"}
    assert found.incomplete == frozenset()
    named = {gap.text for gap in found.gaps if "scope" in gap.text}
    assert len(named) == len(KEYS) - 3


def test_a_scope_that_is_narrower_than_the_question_leaves_the_list_incomplete() -> None:
    scope = "patient/Condition.rs?category=problem-list-item patient/Patient.r patient/MedicationRequest.rs"
    request = request_of(RECORD, None, fhirAuthorization=AUTHORIZATION | {"scope": scope})
    found = gathered(FakeEhr(RECORD), request)
    assert "conditions" in found.incomplete
    assert "medications" not in found.incomplete


def test_a_token_for_another_patient_is_not_used_for_this_one() -> None:
    ehr = FakeEhr(RECORD)
    request = request_of(RECORD, {"patient": PATIENT}, fhirAuthorization=AUTHORIZATION | {"patient": "2"})
    gathered(ehr, request)
    assert ehr.seen == []


# -- table 2.4.1, with and without access


NO_DATA: list[Any] = [
    None,
    bundle(),
    bundle(total=0),
    bundle(outcome("warning"), total=0),
    bundle(outcome("information"), total=0),
]
FAILED: list[Any] = [outcome("error"), outcome("fatal"), bundle(outcome("error")), bundle(outcome("fatal"))]


@pytest.mark.parametrize("has_access", [True, False], ids=["with access", "without"])
class TestTheTable:
    def read(self, prefetch: Any, has_access: bool, instead: Any = lambda url: None) -> Any:
        self.ehr = FakeEhr(RECORD, instead)
        members = {} if has_access else {"fhirServer": None, "fhirAuthorization": None}
        request = request_of(RECORD, prefetch, **members)
        return gathered(self.ehr, request) if has_access else gather(request)

    @pytest.mark.parametrize("prefetch", [None, {}, "all others"])
    def test_the_required_key_is_absent(self, has_access: bool, prefetch: Any) -> None:
        prefetch = without("patient") if prefetch == "all others" else prefetch
        if not has_access:
            with pytest.raises(RequiredDataMissing):
                self.read(prefetch, has_access)
            return
        assert "patient" not in self.read(prefetch, has_access).not_supplied
        with pytest.raises(RequiredDataMissing):
            self.read(prefetch, has_access, instead("Patient/1", (500, outcome("fatal"))))

    @pytest.mark.parametrize("value", NO_DATA)
    def test_no_data(self, has_access: bool, value: Any) -> None:
        found = self.read(without("patient") | {"patient": value}, has_access)
        assert "patient" in found.not_supplied
        for key in NEEDED:
            assert key not in self.read(without(key) | {key: value}, has_access).not_supplied
        assert self.ehr.seen == []

    @pytest.mark.parametrize("value", FAILED)
    def test_the_ehr_failed(self, has_access: bool, value: Any) -> None:
        with pytest.raises(RequiredDataMissing):
            self.read(without("patient") | {"patient": value}, has_access)
        assert self.ehr.seen == []
        for key in [*NEEDED, *OPTIONAL]:
            assert key in self.read(without(key) | {key: value}, has_access).not_supplied
            assert self.ehr.seen == []

    def test_single_and_bundle_are_interchangeable(self, has_access: bool) -> None:
        prefetch = without("patient", "medications") | {"patient": bundle(PATIENT), "medications": DRUG}
        assert not self.read(prefetch, has_access).not_supplied & {"patient", "medications"}
        assert self.ehr.seen == []

    def test_a_page_with_more_to_it(self, has_access: bool) -> None:
        link = [{"relation": "next", "url": f"{BASE}/Observation?patient=1&category=laboratory&_page=1"}]
        paged = EhrRecord(RECORD.resources, page_size=2)
        first = paged.search("Observation", {}, "patient=1&category=laboratory")
        assert first["link"][1:] == link
        self.ehr = FakeEhr(paged)
        members = {} if has_access else {"fhirServer": None, "fhirAuthorization": None}
        request = request_of(paged, without("observations") | {"observations": first}, **members)
        found = gathered(self.ehr, request) if has_access else gather(request)
        results = [one for one in found.resources if type(one).__name__ == "Observation"]
        assert len(results) == (5 if has_access else 2)
        assert ("observations" in found.incomplete) != has_access

    @pytest.mark.parametrize("value", [bundle(DIAGNOSIS), bundle({**DRUG, "subject": STRANGER})])
    def test_wrong_types_and_other_patients(self, has_access: bool, value: Any) -> None:
        found = self.read(without("medications") | {"medications": value}, has_access)
        assert found.patient_id == "1"

    @pytest.mark.parametrize("key", OPTIONAL)
    def test_optional_keys_never_stop_anything(self, has_access: bool, key: str) -> None:
        found = self.read(without(key), has_access, instead(path_of(key), (500, b"")))
        assert key in found.not_supplied
        assert key in {gap.what for gap in found.gaps}


# -- what a server may answer


def failing(status: int, body: Any = b"") -> Any:
    return status, body


FAULTS: list[tuple[Any, str]] = [
    (failing(400), "error"),
    (failing(401, outcome("error", "login")), "refused"),
    (failing(403), "refused"),
    (failing(404), "not-found"),
    (failing(429), "busy"),
    (failing(500, b"<html>Oops</html>"), "error"),
    (failing(503, outcome("fatal")), "busy"),
    (failing(204), "error"),
    (failing(301), "redirect"),
    (failing(302), "redirect"),
    (failing(307), "redirect"),
    ((200, b""), "unreadable"),
    ((200, b"<html><body>Sign in</body></html>"), "unreadable"),
    ((200, b"null"), "unreadable"),
    ((200, b"[]"), "unreadable"),
    ((200, b'{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Observ'), "unreadable"),
    ((200, b"\xff\xfe{}"), "unreadable"),
    ((200, b'{"a":' * 5000), "unreadable"),
    ((200, {"resourceType": "Observation", "id": "x", "status": "final"}), "wrong-content"),
    ((200, {"resourceType": "Patient", "id": "2"}), "wrong-content"),
    (requests.ConnectionError("boom"), "broken"),
    (requests.exceptions.SSLError("boom"), "unreachable"),
    (requests.Timeout("boom"), "timeout"),
    (OSError("boom"), "broken"),
]


@pytest.mark.parametrize(("answer", "expected"), FAULTS)
@pytest.mark.parametrize("key", ["medications", "conditions", "allergies"])
def test_a_failed_question_is_a_named_gap_and_nothing_more(key: str, answer: Any, expected: str) -> None:
    ehr = FakeEhr(RECORD, instead(path_of(key), answer))
    request = request_of(RECORD, without(key))
    completion = complete(ehr, request)
    assert outcomes(completion) == {key: expected}
    found = gather(request, fetched=completion.values, gaps=completion.gaps)
    assert found.not_supplied == {key}
    assert gaps(found) == {("fetch-failed", key)}
    assert not any("boom" in gap.text for gap in found.gaps)


@pytest.mark.parametrize("answer", [answer for answer, _ in FAULTS])
def test_a_patient_that_cannot_be_fetched_is_a_412(answer: Any) -> None:
    ehr = FakeEhr(RECORD, instead("Patient/1", answer))
    with pytest.raises(RequiredDataMissing):
        gathered(ehr, request_of(RECORD, None))


def test_a_server_without_a_type_has_nothing_to_hide_of_it() -> None:
    record = EhrRecord(RECORD.resources)
    record.knows -= {"MedicationStatement", "MedicationDispense", "Procedure"}
    found = gathered(FakeEhr(record), request_of(record, None))
    assert found.incomplete == frozenset()
    assert found.not_supplied == {"procedures"}
    unsupported = instead("MedicationStatement", (400, outcome("error", "not-supported")))
    assert gathered(FakeEhr(RECORD, unsupported), request_of(RECORD, None)).incomplete == frozenset()


def test_statements_that_were_refused_leave_the_medicines_incomplete() -> None:
    found = gathered(FakeEhr(RECORD, instead("MedicationStatement", (403, b""))), request_of(RECORD, None))
    assert found.incomplete == {"medications"}
    assert "medications" not in found.not_supplied


@pytest.mark.parametrize("severity", ["warning", "information"])
def test_no_results_as_epic_says_it(severity: str) -> None:
    empty = bundle(outcome(severity), total=0)
    found = gathered(FakeEhr(RECORD, instead("MedicationRequest", (200, empty))), request_of(RECORD, None))
    assert "medications" not in found.not_supplied | found.incomplete


def test_an_error_among_results_leaves_them_incomplete() -> None:
    mixed = bundle(DRUG, outcome("error"))
    found = gathered(FakeEhr(RECORD, instead("MedicationRequest", (200, mixed))), request_of(RECORD, None))
    assert "medications" in found.incomplete
    assert any(getattr(one, "id", "") == "m1" for one in found.resources)


def test_an_answer_of_another_type_is_read_all_the_same() -> None:
    """The Content-Type header is not what decides."""
    answer = (200, bundle(DRUG), {"Content-Type": "text/html"})
    found = gathered(FakeEhr(RECORD, instead("MedicationRequest", answer)), request_of(RECORD, None))
    assert "medications" not in found.not_supplied | found.incomplete


def test_results_of_another_patient_are_never_trusted() -> None:
    lies = bundle({**DRUG, "id": "x", "subject": STRANGER})
    ehr = FakeEhr(RECORD, instead("MedicationRequest", (200, lies)))
    completion = complete(ehr, request_of(RECORD, None))
    assert outcomes(completion)["medications"] == "wrong-patient"
    found = gather(request_of(RECORD, None), fetched=completion.values)
    assert "medications" in found.incomplete


def test_another_patient_in_place_of_this_one_is_not_taken() -> None:
    other = PATIENT | {"id": "2"}
    for answer in ((200, other), (200, bundle(other)), (200, bundle())):
        with pytest.raises(RequiredDataMissing):
            gathered(FakeEhr(RECORD, instead("Patient/1", answer)), request_of(RECORD, None))
    both = instead("Patient/1", (200, bundle(other, PATIENT)))
    with_both = gathered(FakeEhr(RECORD, both), request_of(RECORD, None))
    assert {one.id for one in with_both.resources if type(one).__name__ == "Patient"} == {"1"}


# -- pages


def pages(*answers: Any) -> FakeEhr:
    return FakeEhr(RECORD, instead("Observation", *answers))


def page(at: int, following: str | None) -> tuple[int, Any]:
    links = [{"relation": "next", "url": following}] if following else []
    return 200, bundle(RESULTS[at], link=links)


def observed(ehr: FakeEhr, **options: Any) -> tuple[Any, Any]:
    request = request_of(RECORD, without("observations"))
    completion = complete(ehr, request, **options)
    return completion.fetched[0], gather(request, fetched=completion.values, gaps=completion.gaps)


def url(at: int) -> str:
    return f"{BASE}/Observation?page={at}"


def test_a_loop_of_pages_is_left() -> None:
    ehr = pages(page(0, url(1)), page(1, url(2)), page(2, url(1)))
    fetched, found = observed(ehr)
    assert (fetched.outcome, fetched.pages, fetched.resources) == ("loop", 3, 4)
    assert "observations" in found.incomplete - found.not_supplied


def test_a_page_that_brings_nothing_new_is_a_loop_whatever_its_address() -> None:
    fetched, found = observed(pages(page(0, url(1)), page(0, url(2)), page(0, url(3))))
    assert (fetched.outcome, fetched.pages) == ("loop", 2)
    assert "observations" in found.incomplete


def test_pages_without_end_are_bounded() -> None:
    count = iter(range(10_000))

    def endless(address: str) -> Any:
        at = next(count)
        return 200, bundle({**RESULTS[0], "id": f"e{at}"}, link=[{"relation": "next", "url": url(at + 1)}])

    ehr = FakeEhr(RECORD, endless)
    fetched, found = observed(ehr)
    assert (fetched.outcome, len(ehr.seen)) == ("too-large", 20)
    assert "observations" in found.incomplete


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/r4?page=2", "http://ehr.example.org/r4?page=2", "https://x@ehr.example.org/r4"]
)
def test_a_next_page_elsewhere_is_not_asked(elsewhere: str) -> None:
    ehr = pages(page(0, elsewhere))
    fetched, found = observed(ehr)
    assert (fetched.outcome, len(ehr.seen)) == ("other-origin", 1)
    assert "observations" in found.incomplete


def test_nor_one_that_prefetch_names() -> None:
    cut = bundle(RESULTS[0], link=[{"relation": "next", "url": "https://evil.example/r4?page=2"}])
    ehr = FakeEhr(RECORD)
    found = gathered(ehr, request_of(RECORD, without("observations") | {"observations": cut}))
    assert ehr.seen == []
    assert "observations" in found.incomplete


def test_a_page_that_fails_costs_only_what_was_on_it() -> None:
    fetched, found = observed(pages(page(0, url(1)), page(1, url(2)), (500, b"")))
    assert (fetched.outcome, fetched.resources) == ("error", 3)
    assert "observations" in found.incomplete - found.not_supplied
    assert len([one for one in found.resources if type(one).__name__ == "Observation"]) == 2


def test_the_limits_of_size_and_number_cut_and_never_refuse() -> None:
    fetched, found = observed(FakeEhr(RECORD), most_bytes=100)
    assert (fetched.outcome, "observations" in found.not_supplied) == ("too-large", True)
    supplied = 3  # patient, drug, diagnosis
    fetched, found = observed(FakeEhr(RECORD), most_resources=supplied + 4)
    assert fetched.outcome == "too-large"
    fetched, found = observed(FakeEhr(RECORD), most_resources=supplied + 5)
    assert fetched.outcome == "ok"


# -- medicines that are referred to


def referring(*references: str) -> EhrRecord:
    orders = [{**DRUG, "id": f"m{at}", "medicationReference": {"reference": one}} for at, one in enumerate(references)]
    drugs = [{"resourceType": "Medication", "id": f"d{at}", "code": {"text": "furosemide"}} for at in range(100)]
    return EhrRecord([PATIENT, *orders, *drugs])


def asked_medications(record: EhrRecord, **members: Any) -> list[str]:
    ehr = FakeEhr(record, members.pop("instead", lambda url: None))
    complete(ehr, request_of(record, members.pop("prefetch", None), **members))
    asked = [(one.url or "").removeprefix(BASE + "/") for one in ehr.seen]
    return sorted(one for one in asked if one.startswith(("Medication/", "Medication?")))


def test_few_are_read_and_many_are_searched_for_in_batches() -> None:
    assert asked_medications(referring("Medication/d1", "Medication/d1", f"{BASE}/Medication/d2")) == [
        "Medication/d1",
        "Medication/d2",
    ]
    many = asked_medications(referring(*(f"Medication/d{at}" for at in range(70))))
    assert [one.split("=")[0] for one in many] == ["Medication?_id", "Medication?_id"]
    assert sum(one.count("d") for one in many) == 70 + 4  # the four of "Medication" and "_id"


@pytest.mark.parametrize(
    "reference",
    ["#contained", "urn:uuid:0d4b", "https://other.example/r4/Medication/d1", "Substance/d1", "Medication/", "", "d1"],
)
def test_what_is_not_a_medication_of_this_server_is_not_asked(reference: str) -> None:
    assert asked_medications(referring(reference)) == []


def test_a_server_that_cannot_search_is_read_from_within_bounds() -> None:
    record = referring(*(f"Medication/d{at}" for at in range(100)))

    def no_search(address: str) -> Any:
        return (400, b"") if "_id=" in address else None

    reads = [one for one in asked_medications(record, instead=no_search) if "_id=" not in one]
    assert len(reads) == 40


def test_medicines_of_draft_orders_and_of_the_prefetch_are_resolved_too() -> None:
    record = referring("Medication/d1")
    order = {**DRUG, "id": "new", "status": "draft", "medicationReference": {"reference": "Medication/d7"}}
    context = {"userId": "Practitioner/1", "patientId": "1", "draftOrders": bundle(order)}
    asked = asked_medications(record, prefetch=record.prefetch(), hook="order-sign", context=context)
    assert asked == ["Medication/d1", "Medication/d7"]


def test_medicines_outside_the_scope_are_named() -> None:
    record = referring("Medication/d1")
    request = request_of(record, record.prefetch(), fhirAuthorization=AUTHORIZATION | {"scope": "patient/Patient.rs"})
    found = gathered(FakeEhr(record), request)
    assert any("only refer to" in gap.text for gap in found.gaps)


def test_the_record_of_what_was_fetched_names_nobody() -> None:
    request = request_of(RECORD, {"Mrs Smith's observations": bundle(link=[{"relation": "next", "url": url(1)}])})
    completion = complete(FakeEhr(RECORD), request)
    assert {one.key for one in completion.fetched} <= {*KEYS, "other"}
    assert "other" in {one.key for one in completion.fetched}
    told = json.dumps([[one.key, one.outcome, one.status, one.pages, one.resources] for one in completion.fetched])
    assert "Smith" not in told
    assert sum(one.bytes for one in completion.fetched) > 0
