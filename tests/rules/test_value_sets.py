"""The value sets under rules/value-sets: valid, consistent, without forbidden or damaged codes."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from fhir.resources.R4B.valueset import ValueSet

from cds_service.facts.terminology import Terminology
from cds_service.facts.words import words_of

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "rules" / "value-sets"
BASE = "https://legcramp.example.org/fhir"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
SNOMED = "http://snomed.info/sct"
DMD = "https://dmd.nhs.uk"
LOINC = "http://loinc.org"
ATC = "http://www.whocc.no/atc"
ICD10 = "http://hl7.org/fhir/sid/icd-10"
ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm"
NDC = "http://hl7.org/fhir/sid/ndc"
FILES = sorted(FOLDER.glob("*/*.json"))

# Every drug that clinical-knowledge.md names (the class table of section 2.0 and the rules), by set id.
NAMED_DRUGS = """
hydrochlorothiazide chlorothiazide bendroflumethiazide methyclothiazide polythiazide hydroflumethiazide
trichlormethiazide cyclopenthiazide chlorthalidone indapamide metolazone xipamide clopamide clorexolone
mefruside quinethazone furosemide torsemide bumetanide ethacrynic-acid piretanide azosemide acetazolamide
methazolamide topiramate zonisamide spironolactone eplerenone finerenone esaxerenone canrenone
potassium-canrenoate amiloride triamterene benazepril captopril cilazapril enalapril fosinopril imidapril
lisinopril moexipril perindopril quinapril ramipril trandolapril zofenopril azilsartan candesartan eprosartan
irbesartan losartan olmesartan telmisartan valsartan aliskiren sacubitril naproxen ibuprofen diclofenac
meloxicam indomethacin ketorolac ketoprofen flurbiprofen piroxicam sulindac etodolac nabumetone oxaprozin
mefenamic-acid dexketoprofen aceclofenac nimesulide tenoxicam lornoxicam tolmetin fenoprofen diflunisal
celecoxib etoricoxib parecoxib trimethoprim ciclosporin tacrolimus voclosporin heparin enoxaparin dalteparin
tinzaparin nadroparin bemiparin fondaparinux pentamidine propranolol nadolol carvedilol labetalol sotalol
timolol drospirenone ketoconazole potassium-chloride potassium-bicarbonate potassium-citrate
potassium-gluconate potassium-acetate potassium-phosphate potassium-aspartate potassium-salt-substitute
magnesium-oxide magnesium-hydroxide magnesium-citrate magnesium-chloride magnesium-glycinate magnesium-lactate
magnesium-aspartate magnesium-glycerophosphate magnesium-gluconate magnesium-sulfate magnesium-trisilicate
cisplatin carboplatin cetuximab panitumumab amphotericin-b gentamicin tobramycin amikacin foscarnet omeprazole
esomeprazole lansoprazole dexlansoprazole pantoprazole rabeprazole vonoprazan amiodarone dofetilide
dronedarone disopyramide procainamide quinidine methadone haloperidol thioridazine citalopram escitalopram
donepezil ondansetron clarithromycin erythromycin azithromycin levofloxacin moxifloxacin fluconazole
hydroxychloroquine domperidone quinine warfarin acenocoumarol phenprocoumon fluindione oxybutynin tolterodine
fesoterodine darifenacin solifenacin trospium propantheline glycopyrronium hyoscyamine dicycloverine
benzatropine trihexyphenidyl clozapine amitriptyline digoxin abiraterone liquorice denosumab
aluminum-hydroxide magaldrate almagate hydrotalcite calcium-carbonate alginic-acid sucralfate cholestyramine
colestipol colesevelam activated-charcoal kaolin pectin attapulgite smectite sevelamer lanthanum
calcium-acetate sucroferric-oxyhydroxide ferric-citrate salmeterol formoterol arformoterol vilanterol
indacaterol olodaterol bambuterol simvastatin atorvastatin rosuvastatin pravastatin lovastatin fluvastatin
pitavastatin itraconazole gemfibrozil colchicine diltiazem verapamil iron-sucrose conjugated-estrogens
raloxifene bazedoxifene ospemifene tamoxifen teriparatide abaloparatide galantamine rivastigmine nifedipine
tolvaptan imatinib vincristine paclitaxel oxaliplatin clonazepam zolpidem gabapentin pregabalin prednisone
prednisolone methylprednisolone dexamethasone hydrocortisone fludrocortisone sennosides bisacodyl
sodium-picosulfate cascara sodium-phosphate insulin metformin lithium levothyroxine menaquinone apixaban
rivaroxaban dabigatran edoxaban mycophenolic-acid
""".split()  # noqa: SIM905


@cache
def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def load(id: str) -> dict[str, Any]:
    (path,) = FOLDER.glob(f"*/{id}.json")
    return read(path)


def includes(resource: dict[str, Any]) -> list[dict[str, Any]]:
    return resource.get("compose", {}).get("include", [])


def concepts(resource: dict[str, Any]) -> list[tuple[str, str]]:
    return [(item["system"], concept["code"]) for item in includes(resource) for concept in item.get("concept", [])]


def prefixes(resource: dict[str, Any]) -> list[tuple[str, str]]:
    return [(item["system"], one["value"]) for item in includes(resource) for one in item.get("filter", [])]


def members(resource: dict[str, Any]) -> list[str]:
    return [url.rsplit("/", 1)[1] for item in includes(resource) for url in item.get("valueSet", [])]


@cache
def expansion(id: str) -> frozenset[tuple[str, str]]:
    """Every listed code of a set, of its SNOMED CT file and of its members (prefixes not expanded)."""
    found = set(concepts(load(id)))
    beside = FOLDER / "snomed-ct" / f"{id}-snomed-ct.json"
    if beside.exists():
        found |= set(concepts(read(beside)))
    for member in members(load(id)):
        found |= expansion(member)
    return frozenset(found)


def ingredients(id: str) -> set[str]:
    found: set[str] = set()
    for member in members(load(id)):
        found |= {member} | ingredients(member)
    return found


def snomed_check(code: str) -> bool:
    """The Verhoeff check digit."""
    d = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 4, 0, 6, 7, 8, 9, 5], [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
        [3, 4, 0, 1, 2, 8, 9, 5, 6, 7], [4, 0, 1, 2, 3, 9, 5, 6, 7, 8], [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
        [6, 5, 9, 8, 7, 1, 0, 4, 3, 2], [7, 6, 5, 9, 8, 2, 1, 0, 4, 3], [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
        [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
    ]  # fmt: skip
    p = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 5, 7, 6, 2, 8, 3, 0, 9, 4], [5, 8, 0, 3, 7, 9, 6, 1, 4, 2],
        [8, 9, 1, 6, 0, 4, 3, 5, 2, 7], [9, 4, 5, 3, 1, 2, 6, 8, 7, 0], [4, 2, 8, 6, 5, 7, 3, 9, 0, 1],
        [2, 7, 9, 3, 8, 0, 6, 4, 1, 5], [7, 0, 4, 6, 9, 1, 3, 2, 5, 8],
    ]  # fmt: skip
    c = 0
    for i, digit in enumerate(reversed(code)):
        c = d[c][p[i % 8][int(digit)]]
    return c == 0


def loinc_check(code: str) -> bool:
    """The mod 10 (Luhn) check digit after the hyphen (answer codes, LA..., count otherwise)."""
    number, _, check = code.rpartition("-")
    total = 0
    for i, digit in enumerate(reversed(number)):
        double = int(digit) * (2 if i % 2 == 0 else 1)
        total += double - 9 if double > 9 else double
    return (10 - total % 10) % 10 == int(check)


def test_check_digits_of_known_codes() -> None:
    assert snomed_check("449918009")
    assert not snomed_check("449918008")
    assert loinc_check("2823-3")
    assert not loinc_check("2823-4")


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_file_is_a_valid_value_set(path: Path) -> None:
    resource = read(path)
    ValueSet.model_validate(resource)
    assert resource["id"] == path.stem
    assert re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", resource["id"])
    assert resource["url"] == f"{BASE}/ValueSet/{path.stem}"
    assert resource["title"]
    assert resource["description"]
    codes = concepts(resource)
    assert len(codes) == len(set(codes)), "a code is listed twice"
    headers = prefixes(resource)
    assert len(headers) == len(set(headers))
    assert not set(codes) & set(headers)
    if codes or headers:
        assert resource["copyright"]
    for system, code in headers:
        assert system in (ICD10CM, ICD10, ATC)
        pattern = r"[A-Z]\d\d([A-Z]{1,2}(\d\d)?)?" if system == ATC else r"[A-Z]\d[0-9A-Z](\.[0-9A-Z]{1,4})?"
        assert re.fullmatch(pattern, code), code
    for system, code in codes:
        assert code
        assert code == code.strip()
        if system in (SNOMED, DMD):
            assert snomed_check(code), code
        elif system == LOINC and not code.startswith("LA"):
            assert loinc_check(code), code
        elif system == RXNORM:
            assert code.isdigit()
        elif system == NDC:
            assert re.fullmatch(r"\d{9}", code)
        elif system == ICD10CM:
            assert re.fullmatch(r"[A-Z]\d[0-9A-Z](\.[0-9A-Z]{1,4})?", code), code


def test_snomed_codes_stand_apart() -> None:
    for path in FILES:
        systems = {system for system, _ in concepts(read(path)) + prefixes(read(path))}
        if path.parent.name == "snomed-ct":
            assert systems == {SNOMED}, path
            (extension,) = read(path)["extension"]
            assert extension["url"] == f"{BASE}/StructureDefinition/extends-value-set"
            load(extension["valueCanonical"].rsplit("/", 1)[1])
        else:
            assert SNOMED not in systems, path


def test_ids_are_unique_and_members_exist() -> None:
    ids = [path.stem for path in FILES]
    assert len(ids) == len(set(ids))
    for path in FILES:
        for member in members(read(path)):
            assert member in ids, f"{path.stem} names {member}"
        assert path.stem not in ingredients(path.stem) if members(read(path)) else True


@pytest.mark.parametrize(
    ("set_id", "system", "code"),
    [
        ("furosemide", RXNORM, "315971"),
        ("furosemide", RXNORM, "4603"),
        ("hydrochlorothiazide", RXNORM, "316049"),
        ("hydrochlorothiazide", RXNORM, "999967"),
        ("olmesartan", RXNORM, "999967"),
        ("salmeterol", RXNORM, "896209"),
        ("loop-diuretic", RXNORM, "315971"),
        ("k-wasting", RXNORM, "999967"),
        ("raasi", RXNORM, "999967"),
        ("laba", RXNORM, "896209"),
        ("quinine", RXNORM, "9071"),
        ("vka", RXNORM, "11289"),
        ("potassium-product", RXNORM, "8591"),
        ("furosemide", ATC, "C03CA01"),
        ("indapamide", ATC, "C09BA04"),
        ("hydrochlorothiazide", ATC, "C09DX01"),
        ("leg-cramp-symptom", SNOMED, "449918009"),
        ("leg-cramp-symptom", ICD10CM, "G47.62"),
        ("potassium-accepted", LOINC, "2823-3"),
        ("smoking-status-value-positive", SNOMED, "449868002"),
        ("pregnancy-status-value-positive", LOINC, "LA15173-0"),
        ("dialysis-procedure", SNOMED, "265764009"),
    ],
)
def test_known_code_lands(set_id: str, system: str, code: str) -> None:
    assert (system, code) in expansion(set_id)


@pytest.mark.parametrize(
    ("set_id", "system", "code"),
    [
        ("egfr-accepted", LOINC, "48643-1"),
        ("egfr-accepted", LOINC, "88293-6"),
        ("vitamin-d-25oh-accepted", LOINC, "49054-0"),
        ("potassium-accepted", LOINC, "2828-2"),
        ("potassium-accepted", LOINC, "2829-0"),
        ("potassium-accepted", LOINC, "2824-1"),
        ("potassium-accepted", LOINC, "29349-8"),
        ("calcium-ionized-accepted", LOINC, "13959-2"),
        ("quinine", RXNORM, "9068"),
        ("quinine", RXNORM, "2393"),
        ("furosemide", RXNORM, "38413"),
        ("torsemide", RXNORM, "4603"),
        ("chlorothiazide", RXNORM, "5487"),
        ("leg-cramp-symptom", SNOMED, "84757009"),
        ("cai", ATC, "S01EC03"),
        ("long-qt", ICD10CM, "R94.31"),
        ("alcohol-r52", ICD10CM, "F10.21"),
        ("k-wasting", RXNORM, "38404"),
        ("nsaid", RXNORM, "1191"),
    ],
)
def test_forbidden_code_is_absent(set_id: str, system: str, code: str) -> None:
    assert (system, code) not in expansion(set_id)


@pytest.mark.parametrize("drug", NAMED_DRUGS)
def test_every_named_drug_has_its_set_and_a_name(drug: str) -> None:
    assert (FOLDER / "ingredient" / f"{drug}.json").exists()
    names = json.loads((FOLDER / "ingredient-names.json").read_text(encoding="utf-8"))
    assert names[drug]["names"]


def test_qualified_subsets_have_no_names_and_belong_to_their_ingredient() -> None:
    names = json.loads((FOLDER / "ingredient-names.json").read_text(encoding="utf-8"))
    for path in (FOLDER / "ingredient").iterdir():
        for one in read(path).get("extension", []):
            assert one["url"] == f"{BASE}/StructureDefinition/variant-of"
            whole = one["valueCanonical"].rsplit("/", 1)[1]
            assert path.stem.startswith(f"{whole}-")
            assert path.stem not in names
            assert expansion(path.stem) <= expansion(whole)


def test_mra_and_enac_are_apart() -> None:
    assert not ingredients("mra") & ingredients("enac")
    assert ingredients("k-sparing") >= ingredients("mra") | ingredients("enac") | {"mra", "enac"}


def test_weak_members_are_never_potassium_wasting() -> None:
    assert not {"topiramate", "zonisamide"} & ingredients("k-wasting")


def test_names_do_not_lead_to_a_look_alike() -> None:
    names = json.loads((FOLDER / "ingredient-names.json").read_text(encoding="utf-8"))
    ids = {path.stem for path in FILES if path.parent.name == "ingredient"}
    assert set(names) <= ids
    words: dict[str, set[str]] = {}
    for id, entry in names.items():
        assert set(entry) <= {"names", "brands", "abbreviations"}
        for name in entry.get("names", []):
            words.setdefault(name.lower(), set()).add(id)
        for brand in entry.get("brands", []):
            assert len(brand) > 2
    for name, owners in words.items():
        joined = name.startswith("co-") or re.search(r"[ &-]", name)  # the name of a combination
        assert len(owners) == 1 or joined, f"{name} names {owners}"
    assert words["quinine"] == {"quinine"}
    assert words["quinidine"] == {"quinidine"}


# Texts as they stand in medication lists, and the class that closes a gate or raises the warning (hostile review, F01).
WRITTEN = {
    "potassium-product": """
        Klor-Con | Klor-Con 10 | Klor-Con M20 | KLOR-CON M20 TABLET | klor con m 20 | KlorCon | K-Dur 20 | K-Tab
        10 | Micro-K | Slow-K 600 mg | Kaon-Cl | Sando-K | Kay-Cee-L | Urocit-K 10 | Polycitra-K | K-Phos
        Neutral | Effer-K 20 | Virt-Phos | KCl | KCL | K-Lyte/Cl | potassium | Potassium. | POTASSIUM 99 mg |
        potassium otc | potassium supplement | potassium supplements | potassium pills | potassium tablet |
        potassium tablets 20 mEq | potassium 20 mEq daily | K+ supplement | Potassium Cl ER | potassium cl 20
        meq | potassium chlor | pot chloride 600mg | potassium bicarb | potassium phos | K citrate | salt
        substitute | Nu-Salt | NoSalt | LoSalt | Lo Salt | Morton Lite Salt | Kalium | Kaliumchlorid retard |
        Kalinor Brause | cloruro de potasio | Kaleorid LP 600 | Centyl K | Neo-NaClex-K | Burinex K | Lasikal |
        Phos-NaK | K 20 mEq | magnesium + potassium | potassium (over the counter)""",
    "enac": """
        Moduretic | Moduret 25 | Midamor 5 mg | Frumil | Co-amilofruse 5/40 | amilorid 5 mg | Dyazide |
        Maxzide-25 | Dyrenium | Triam/HCTZ | Triam/HCTZ 37.5-25 | triamterene-hctz 37.5/25 mg | triamteren |
        Burinex A | Kalten | Navispare | Modamide""",
    "mra": """
        Aldactone | Aldactazide | Aldactide | Soludactone | Inspra 25 | Kerendia | CaroSpir | spironolacton 25
        mg | spirinolactone 25 | espironolactona 25 mg | spironolactona | Lasilactone | Verospiron | eplerenona
        | Éplérénone""",
    "k-raiser-strong": """
        Bactrim DS | Septra | Sulfatrim | co-trimoxazole 960 | cotrimoxazol | SMZ-TMP DS | SMZ/TMP | SMX/TMP |
        TMP-SMX | TMP/SMX DS | TMP-SMZ | sulfamethoxazole-trimethoprim 800-160 | Prograf 1 mg | Envarsus XR |
        Astagraf XL | Advagraf | Neoral 100 | Sandimmune | Gengraf | ciclosporine | Lupkynis | Lovenox 40 mg |
        Clexane | Fragmin | Innohep | Fraxiparine | heparina""",
    "k-raiser-weak": """
        Inderal LA | Corgard | Corzide 40/5 | Coreg | Trandate | Betapace AF | Yaz | Yasmin | Slynd | Recorlev |
        propanolol""",
    "nsaid": """
        Toradol | Sprix | Voltaren | Voltarol | Cataflam | Clinoril | Nurofen | Brufen | Motrin IB | Advil |
        Aleve | Naprosyn | Arcoxia | Celebrex | Mobic | Ponstel | Ponstan | Orudis | Feldene | Indocin | Lodine
        | Relafen | Daypro | Arthrotec | Vimovo | Duexis | Treximet | Ansaid | Froben | Keral | ibuprofeno |
        naproxeno | Trilisate | Dolobid | Nalfon | Tolectin | Preservex""",
    "raasi": """
        Zestril | Prinivil | Prinzide | Zestoretic | Vasotec | Capoten | Lotensin | Accupril | Altace | Tritace
        | Mavik | Tarka | Aceon | Coversyl | Monopril | Univasc | Cozaar | Hyzaar | Diovan | Avapro | Aprovel |
        Benicar | Olmetec | Micardis | Atacand | Edarbi | Edarbyclor | Teveten | Tekturna | Entresto | Lotrel |
        Twynsta | Azor | Exforge | Innovace | Amias | Rasilez""",
    "k-wasting": """
        HCTZ | Microzide | Esidrix | hydrochlorothiazid | hydrochlorthiazide | Hygroton | Thalitone | Tenoretic
        | Lozol | Natrilix SR | Zaroxolyn | Lasix | Bumex | Demadex | Edecrin | Aprinox | bendro | Diamox |
        Neptazane | Navidrex | furosemida | chlortalidon | Dyazide | Moduretic | Zestoretic | Hyzaar | Ziac""",
    "aspirin": "BC Powder | Goody's Powder | Ecotrin | Disprin | Excedrin | ASS 100 | aspirina | Kardegic",
    "cardiac-glycoside-digoxin": "Lanoxin | Digitek | digoxina | Lanicor",
    "qt-drug": """
        Qualaquin | Haldol | Celexa | Cipralex | Zofran ODT | Biaxin | Klaricid | Z-Pak | Zithromax | Levaquin |
        Avelox | Diflucan | Plaquenil | Motilium | Tikosyn | Multaq | Cordarone | Betapace | Norpace | Nuedexta
        | Dolophine | Aricept | Namzaric | Prevpac""",
    "quinine": """
        Qualaquin | quinine sulfate 324 mg | quinine sulphate 200mg tablets | Limptar N | Quinate | chinin |
        Hexaquine""",
    "anticholinergic-strong": """
        Ditropan XL | Detrol LA | Toviaz | Enablex | Vesicare | Sanctura | Robinul | Levsin SL | Bentyl |
        Cogentin | Artane | Clozaril | Elavil | Donnatal""",
    "mg-product": """
        Mag-Ox 400 | MagOx | Slow-Mag | Mag 64 | Mag-Delay | Mag-Tab SR | milk of magnesia | Phillips' Milk of
        Magnesia | MOM 30 ml | Epsom salt oral | magnesium | magnesium pills | magnesium supplements | Maalox |
        Mylanta | Natural Calm | citrate of magnesia | mag citrate | Magnerot | Magnesiocard | Clenpiq |
        Ascriptin""",
    "calcium-product": """
        Tums | Caltrate | Os-Cal | Citracal | calcium | calcium supplements | Adcal-D3 | Calcichew D3 | PhosLo |
        calcium with vitamin D | oyster shell calcium""",
    "vitamin-d": """
        vitamin D 2000 IU | vit D3 | Vitamin D3 | D3 5000 IU | Drisdol | Adcal-D3 | Fultium-D3 | One-Alpha |
        Rocaltrol | Vigantol | calcium vit D""",
    "vka": "Coumadin | Jantoven | Marevan | Sintrom | Sinthrome | Marcumar | Previscan | warfarine",
    "doac": "Eliquis | Xarelto | Pradaxa | Savaysa | Lixiana",
    "laba": """
        Serevent | Advair | Seretide | Symbicort | Dulera | Breo Ellipta | Relvar | Anoro | Trelegy | Fostair |
        Foradil | Perforomist | Striverdi | Stiolto | Spiolto | Onbrez | Ultibro | Wixela | Flutiform | Breztri""",
    "lithium": "Lithobid | Eskalith | Priadel | lithium carb | Quilonum",
    "levothyroxine": """
        Synthroid | Levoxyl | Unithroid | Euthyrox | Eltroxin | Oroxine | L-Thyroxin | levothyroxin | Tirosint""",
    "aluminium-product": "Amphojel | AlternaGel | Alu-Cap | Carafate | Antepsin | Maalox",
    "saba": "ProAir HFA | Ventolin | Xopenex | Bricanyl",
}
# What a name must not lead to.
NOT_MEANT = [
    ("losartan potassium 50 mg", "potassium-product"),
    ("Losartan-Potassium 50 mg", "potassium-product"),
    ("penicillin V potassium 500 mg tablet", "potassium-product"),
    ("Penicillin V Potassium tablets", "potassium-product"),
    ("amoxicillin-clavulanate potassium 875-125", "potassium-product"),
    ("amoxicillin/potassium clavulanate", "potassium-product"),
    ("diclofenac potassium 50 mg", "potassium-product"),
    ("losartankalium 50", "potassium-product"),
    ("raltegravir potassium", "potassium-product"),
    ("potassium iodide", "potassium-product"),
    ("vitamin K tab 100 mcg", "potassium-product"),
    ("vitamin K supplement", "potassium-product"),
    ("vitamin K2 10 mcg", "potassium-product"),
    ("esomeprazole magnesium", "mg-product"),
    ("atorvastatin calcium", "calcium-product"),
    ("potassium 99 mg citrate", "mg-product"),
    ("calcium 500 mg citrate", "mg-product"),
    ("quinidine gluconate", "quinine"),
    ("hydroxychloroquine", "quinine"),
    ("Aquaphor", "k-wasting"),
    ("triamcinolone 0.1%", "enac"),
    ("furosemide 40 mg", "mra"),
]


@cache
def terminology() -> Terminology:
    return Terminology.load(ROOT / "rules")


def named(text: str) -> frozenset[str]:
    found = terminology().text_names.read(text, terminology().text_rules).ingredients
    return frozenset().union(*(ingredient.sets for ingredient in found))


@pytest.mark.parametrize(
    ("set_id", "text"), [(set_id, text.strip()) for set_id, texts in WRITTEN.items() for text in texts.split("|")]
)
def test_a_medicine_is_known_as_it_is_written(set_id: str, text: str) -> None:
    assert set_id in named(text)


@pytest.mark.parametrize(("text", "set_id"), NOT_MEANT)
def test_a_name_does_not_mean_another_medicine(text: str, set_id: str) -> None:
    assert set_id not in named(text)


CLOSING = {
    "potassium-product", "k-sparing", "k-raiser-strong", "k-raiser-weak", "nsaid", "raasi", "k-wasting", "mg-product",
    "calcium-product", "qt-drug", "quinine", "vka", "doac", "cardiac-glycoside-digoxin", "anticholinergic-strong",
}  # fmt: skip
# Names within a name, or within a display, that are no part of what is meant: a salt, or one brand name inside another.
NOT_A_PART = {
    ("flanax aspirin", "naproxen"),
    ("gas x with maalox", "magnesium-hydroxide"),
    ("maalox max quick dissolve", "magnesium-hydroxide"),
    ("maalox max quick dissolve", "aluminum-hydroxide"),
    ("gas x with maalox", "aluminum-hydroxide"),
    ("bayer aspirin plus calcium", "calcium-unspecified"),
    ("bayer aspirin with calcium", "calcium-unspecified"),
}
SALTS = {"potassium-unspecified", "magnesium-unspecified", "calcium-unspecified"}


def test_no_name_hides_another_medicine() -> None:
    """The longest name wins, so a name that holds another's must stand at that one too."""
    owners: dict[tuple[str, ...], set[str]] = {}
    for id, entry in json.loads((FOLDER / "ingredient-names.json").read_text(encoding="utf-8")).items():
        for name in (name for group in entry.values() for name in group):
            owners.setdefault(words_of(name), set()).add(id)
    sets = {id: terminology().index.ingredient(id, "text").sets for ids in owners.values() for id in ids}
    for words, ids in owners.items():
        known = frozenset().union(*(sets[id] for id in ids))
        for first in range(len(words)):
            for last in range(first + 1, len(words) + 1):
                for inner in owners.get(words[first:last], set()) - ids - SALTS:
                    hidden = sets[inner] & CLOSING - known
                    assert not hidden or (" ".join(words), inner) in NOT_A_PART, (words, inner)


# Brands of which country, year or variant decide what is in them: in the words of a text they count, by code not.
VARYING = re.compile(
    r"alka-seltzer|gaviscon|anadin|acepril|pedia-lax|phillips|gas-x|picot|pravigard|flanax|bayer|cytra|/ef", re.I
)


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.parent.name == "ingredient"], ids=lambda path: path.stem
)
def test_a_combination_stands_at_every_ingredient_that_its_display_names(path: Path) -> None:
    """The service is asked for the code, and its display is read as text: what the text finds, the code must know."""
    beside = FOLDER / "snomed-ct" / f"{path.stem}-snomed-ct.json"
    terms = terminology()
    for item in includes(read(path)) + (includes(read(beside)) if beside.exists() else []):
        route = next((one["valueCode"] for one in item.get("extension", []) if one["url"].endswith("/route")), "")
        if route and route not in {"any", "unspecified", *terms.text_rules.systemic}:
            continue
        for concept in item.get("concept", []):
            display = re.sub(r"\[[^\]]*\]", "", concept.get("display", ""))
            if not display or item["system"] == ATC or VARYING.search(display):
                continue
            known = frozenset().union(*(one.sets for one in terms.ingredients(item["system"], concept["code"])))
            for one in terms.text_names.read(display, terms.text_rules).ingredients:
                bare = one.id in SALTS and known & {"potassium-product", "mg-product", "calcium-product"}
                assert one.id in known or bare, (concept, one.id)


@pytest.mark.parametrize(
    ("set_id", "code"),
    [
        ("potassium-product", "104264"),
        ("potassium-product", "104267"),
        ("potassium-product", "818771"),
        ("k-raiser-weak", "1156023"),
        ("k-raiser-weak", "104324"),
        ("k-raiser-weak", "1162122"),
        ("k-raiser-weak", "1483549"),
        ("qt-drug", "104338"),
        ("qt-drug", "757968"),
        ("mg-product", "1994540"),
        ("quinine", "1153235"),
        ("diuretic-combination", "1162122"),
    ],
)
def test_partner_of_a_combination_is_known_by_code(set_id: str, code: str) -> None:
    assert set_id in terminology().sets(RXNORM, code)


# Codes of problem lists that hold SNOMED CT and nothing else (hostile review, F09, F13).
SNOMED_ONLY = {
    "adrenal-insufficiency": "363732003 386584007 373662000 237785004 766986002",
    "hypoaldosteronism": "236464008 60086000",
    "type-4-rta": "236463002",
    "tumor-lysis": "277605001",
    "periodic-paralysis": "82732003 30967002 304737009",
    "rhabdomyolysis": "240131006 89010004 23697004",
    "tetany": "10629009 190869004",
    "bowel-obstruction": "81060008 55525008 710572000 281255004 235833007",
    "malnutrition": "190606006 238108007",
    "anorexia-nervosa": "56882008",
    "gi-fluid-loss": "62315008 25374005 422400008 34095006 16932000 409966000",
    "muscle-weakness": "26544005 13791008",
    "av-block-2-3": "27885002 195042002 28189009 54016002",
    "pacemaker": "441509002",
    "myasthenia-gravis": "91637004",
    "gastroparesis": "235675006",
    "esophageal-stricture-achalasia": "45564002 63305008",
    "swallowing-disorder": "40739000",
    "crohn-disease": "34000006",
    "gi-ulcer-or-bleed": "13200003 397825006 51868009 74474003 2901004 8765009",
    "sarcoidosis": "31541009",
    "granulomatous-disease": "31541009 56717001",
    "primary-hyperparathyroidism": "36348003",
    "hypercalcemia": "66931009",
    "kidney-stones": "95570007 95566004",
    "renal-block-condition": "431857002 433146000 46177005",
    "aki-renal-block": "14669001",
    "dialysis-r36": "46177005",
    "cirrhosis-r37": "19943007",
    "pregnancy-fact": "77386006",
    "dvt-r41": "128053003 404223003",
    "acute-limb-ischemia": "233962007",
    "cauda-equina": "192970008",
    "ischemic-heart-disease": "53741008 22298006 194828000",
    "ventricular-arrhythmia": "25569003 71908006",
    "cardiac-risk-condition": "49436004 42343007 53741008",
    "malaria": "61462000",
    "g6pd-deficiency": "62403005",
    "optic-neuritis": "66760008",
    "tinnitus": "60862001",
    "neuropathy-r44": "302226006",
    "hemorrhoids-r48": "70153002",
    "restless-legs": "32914008",
    "venous-disease-r38": "72866009",
    "stroke": "230690007",
    "seizure": "84757009",
}


@pytest.mark.parametrize(
    ("set_id", "code"), [(set_id, code) for set_id, codes in SNOMED_ONLY.items() for code in codes.split()]
)
def test_a_condition_is_known_by_snomed_alone(set_id: str, code: str) -> None:
    assert set_id in terminology().sets(SNOMED, code)


@pytest.mark.parametrize(
    ("set_id", "system", "code"),
    [
        ("renal-block-condition", ICD10CM, "I12.0"),
        ("renal-block-condition", ICD10CM, "I13.11"),
        ("renal-block-condition", ICD10CM, "I13.2"),
        ("renal-block-condition", ICD10CM, "N19"),
        ("renal-block-condition", ICD10, "I13.1"),
        ("rhabdomyolysis", ICD10CM, "T79.6XXA"),
        ("rhabdomyolysis", ICD10, "T79.6"),
        ("bowel-obstruction", ICD10CM, "K91.32"),
        ("av-block-2-3", ICD10CM, "I44.30"),
        ("gi-ulcer-or-bleed", ICD10CM, "K29.01"),
    ],
)
def test_icd_codes_of_the_same_state_close_too(set_id: str, system: str, code: str) -> None:
    assert set_id in terminology().sets(system, code)


@pytest.mark.parametrize(
    ("set_id", "code"),
    [("renal-block-condition", "I12.9"), ("renal-block-condition", "I13.0"), ("renal-block-condition", "I13.10")],
)
def test_icd_codes_of_a_lesser_state_do_not(set_id: str, code: str) -> None:
    assert set_id not in terminology().sets(ICD10CM, code)


def test_exact_observation_lists() -> None:
    assert {code for _, code in expansion("creatinine-accepted")} == {"2160-0", "14682-9"}
    assert {code for _, code in expansion("albumin-accepted")} == {"1751-7", "61151-7", "61152-5", "54347-0"}


def test_no_host_or_machine_path_in_any_file() -> None:
    for path in [*FILES, FOLDER / "ingredient-names.json", FOLDER / "routes.yaml", FOLDER / "NOTICE.md"]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"/work/|/tmp/|/home/|file://|localhost", text), path


def test_routes_are_complete() -> None:
    routes = yaml.safe_load((FOLDER / "routes.yaml").read_text(encoding="utf-8"))
    known = set(routes["words"]) | {"enteral"}
    assert set(routes["systemic"]) <= known
    for codes in routes["codes"].values():
        assert set(codes.values()) <= known
    for code in routes["codes"][SNOMED]:
        assert snomed_check(str(code)), code
    for name, entry in routes["local_routes_that_count"].items():
        load(name)
        assert set(entry["routes"]) <= known
        assert entry["source"]
    used = {
        one["valueCode"]
        for path in FILES
        for item in includes(read(path))
        for one in item.get("extension", [])
        if one["url"].endswith("/route")
    }
    assert used <= known | {"any", "unspecified"}


def test_whole_folder_is_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 12_000_000
