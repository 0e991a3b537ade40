"""By which names and codes a medicine is known, and that no name means another one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cds_service.facts.words import words_of
from tests.rules.value_set_files import ATC, BASE, FILES, FOLDER, RXNORM, expansion, includes, read, terminology

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
        potassium (as chloride) 20 mEq | potassium 20 mEq as chloride | chloride potassium |
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
        magnesium (as oxide) 400 mg | Mg oxide 400 mg | Mg citrate | Magnesium 250 mg (oxide) |
        Mag-Ox 400 | MagOx | Slow-Mag | Mag 64 | Mag-Delay | Mag-Tab SR | milk of magnesia | Phillips' Milk of
        Magnesia | MOM 30 ml | Epsom salt oral | magnesium | magnesium pills | magnesium supplements | Maalox |
        Mylanta | Natural Calm | citrate of magnesia | mag citrate | Magnerot | Magnesiocard | Clenpiq |
        Ascriptin""",
    "calcium-product": """
        calcium (as carbonate) 500 mg | Caltrate 600+D | Os-Cal 500+D |
        Tums | Caltrate | Os-Cal | Citracal | calcium | calcium supplements | Adcal-D3 | Calcichew D3 | PhosLo |
        calcium with vitamin D | oyster shell calcium""",
    "vitamin-d": """
        Caltrate 600+D | Calcium 600 + D | Os-Cal 500+D | cod liver oil |
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
    ("zinc 50 mg oxide", "mg-product"),
    ("iron 65 mg sulfate", "mg-product"),
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
