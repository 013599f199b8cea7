"""Every marked string is in every catalogue, translated, with its placeholders; what is compiled is what is written."""

import re
import shutil
from pathlib import Path

import polib
import pytest
from django.conf import settings
from django.core.management import call_command
from django.utils import translation

LOCALE = Path(settings.LOCALE_PATHS[0])
ROOT = Path(settings.BASE_DIR)
LANGUAGES = [code for code, _ in settings.LANGUAGES if code != settings.LANGUAGE_CODE]
# %(name)s, %s, {name} and the elements a script fills.
PLACEHOLDER = re.compile(r"%\(\w+\)\w|%[sd]|\{\w*\}|<[^>]+>")
# Plural forms that stand for one number alone, and may spell it out: one and two.
SPELT_OUT = {"he": {0, 1}}

Key = tuple[str | None, str, str]


def catalogue(language: str, suffix: str = "po") -> polib.POFile | polib.MOFile:
    path = LOCALE / language / "LC_MESSAGES" / f"django.{suffix}"
    return polib.pofile(str(path)) if suffix == "po" else polib.mofile(str(path))


def key(entry: polib.POEntry) -> Key:
    return entry.msgctxt, entry.msgid, entry.msgid_plural


def texts(entry: polib.POEntry) -> dict[int, str]:
    """The translations by plural form; 0 alone where there is no plural."""
    return dict(entry.msgstr_plural) if entry.msgid_plural else {0: entry.msgstr}


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> set[Key]:
    """What the sources mark now, read by xgettext into a catalogue of its own."""
    if shutil.which("xgettext") is None:
        pytest.skip("gettext is not installed, so the sources can't be read for marked strings")
    # makemessages lays its work beside the sources, which other workers read meanwhile.
    copy = tmp_path_factory.mktemp("marked") / "sources"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "var", "build", "locale", "tests", "__pycache__"))
    locale = copy / "locale"
    locale.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(copy)
        patch.setattr(settings, "LOCALE_PATHS", [str(locale)])
        call_command("makemessages", locale=["fr"], verbosity=0)
    return {key(entry) for entry in polib.pofile(str(locale / "fr" / "LC_MESSAGES" / "django.po"))}


@pytest.mark.parametrize("language", LANGUAGES)
def test_catalogue_holds_what_the_sources_mark(language: str, marked: set[Key]) -> None:
    held = {key(entry) for entry in catalogue(language) if not entry.obsolete}

    assert sorted(marked - held, key=str) == []
    assert sorted(held - marked, key=str) == []


def test_texts_are_marked_by_names_that_are_looked_for() -> None:
    """`makemessages` looks for `_`, `gettext` and their like; what any other name marks is never translated."""
    sources = [path for path in ROOT.rglob("*.py") if ".venv" not in path.parts]
    aliases = [
        f"{path.relative_to(ROOT)}: {found}"
        for path in sources
        for found in re.findall(r"import .*gettext\w* as (?!_$).*", path.read_text(), re.MULTILINE)
    ]

    assert len(sources) > 500
    assert aliases == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_catalogue_is_translated_whole(language: str) -> None:
    entries = catalogue(language)
    forms = int(re.search(r"nplurals=(\d)", entries.metadata["Plural-Forms"]).group(1))

    assert [entry.msgid for entry in entries if entry.fuzzy or entry.obsolete] == []
    assert [entry.msgid for entry in entries if not all(texts(entry).values())] == []
    assert [entry.msgid for entry in entries if entry.msgid_plural and len(texts(entry)) != forms] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_translations_keep_their_placeholders(language: str) -> None:
    different = []
    for entry in catalogue(language):
        for form, text in texts(entry).items():
            wanted, found = set(PLACEHOLDER.findall(entry.msgid)), set(PLACEHOLDER.findall(text))
            if entry.msgid_plural and form in SPELT_OUT.get(language, ()):
                # The count may go, nothing may come.
                wanted = wanted & found if found <= wanted else wanted
            if wanted != found:
                different.append((entry.msgid, text))

    assert different == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_compiled_catalogue_is_the_written_one(language: str) -> None:
    written = {key(entry): texts(entry) for entry in catalogue(language)}
    compiled = {key(entry): texts(entry) for entry in catalogue(language, "mo")}

    assert compiled == written


@pytest.mark.parametrize(
    ("language", "counts"),
    [
        ("he", {1: "עגלה אחת", 2: "2 עגלות", 3: "3 עגלות", 20: "20 עגלות"}),
        ("fa", {0: "0 چرخ", 1: "1 چرخ", 5: "5 چرخ"}),
        ("fr", {0: "0 chariot", 1: "1 chariot", 2: "2 chariots"}),
    ],
)
def test_plural_follows_the_language(language: str, counts: dict[int, str]) -> None:
    with translation.override(language):
        said = {
            count: translation.ngettext("%(count)s cart", "%(count)s carts", count) % {"count": count}
            for count in counts
        }

    assert said == counts


@pytest.mark.parametrize(("language", "free", "price"), [("he", "פנויה", "חינם"), ("fr", "Libre", "Gratuit")])
def test_word_with_two_meanings_has_two_translations(language: str, free: str, price: str) -> None:
    with translation.override(language):
        assert translation.gettext("Free") == free
        assert translation.pgettext("price", "Free") == price
