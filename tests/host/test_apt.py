from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from scripts.testhost.apt import (
    Archive,
    World,
    find_archive,
    load_lists,
    parse_print_uris,
    render_configuration,
    render_sources,
)
from scripts.testhost.errors import HostError
from scripts.testhost.process import Result

STANZAS = """\
Types: deb
# a comment between fields
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian.gpg

Types: deb
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main
"""

INLINE_KEY = """\
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDMEY
"""


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        pytest.param(
            {"debian.sources": STANZAS},
            Archive(uris="http://mirror.example/debian", signed_by="/usr/share/keyrings/debian.gpg"),
            id="stanza",
        ),
        pytest.param(
            {"sources.list": "deb http://mirror.example/debian bookworm main contrib\n"},
            Archive(uris="http://mirror.example/debian"),
            id="line",
        ),
        pytest.param(
            {"sources.list": "deb [arch=amd64 signed-by=/key.gpg] https://mirror.example/d stable main # why\n"},
            Archive(uris="https://mirror.example/d", signed_by="/key.gpg"),
            id="line with options, by the suite's alias",
        ),
        pytest.param(
            {"sources.list": "# nothing\n", "other.list": "deb http://b.example cloud main\n", "d.sources": STANZAS},
            Archive(uris="http://mirror.example/debian", signed_by="/usr/share/keyrings/debian.gpg"),
            id="after lists of others",
        ),
        pytest.param({"sources.list": "deb-src http://mirror.example/debian bookworm main\n"}, None, id="sources only"),
        pytest.param({"sources.list": "#deb http://mirror.example/debian bookworm main\n"}, None, id="commented out"),
        pytest.param({"d.sources": "Enabled: no\n" + STANZAS.split("\n\n", maxsplit=1)[0]}, None, id="switched off"),
        pytest.param({"s.list": "deb http://mirror.example/s bookworm-security main\n"}, None, id="security only"),
        pytest.param({}, None, id="none"),
    ],
)
def test_the_archive_is_the_one_that_carries_the_base_system(lists: dict[str, str], expected: Archive | None) -> None:
    assert find_archive(lists, "bookworm") == expected


def test_another_suite_of_the_same_archive_is_signed_by_the_same_key() -> None:
    archive = find_archive({"d.sources": INLINE_KEY}, "bookworm")
    assert archive is not None
    rendered = render_sources(archive, "sid")
    assert rendered == INLINE_KEY.replace("bookworm", "sid").replace("Signed-By:\n", "Signed-By: ").replace(
        "Signed-By:  -", "Signed-By: -"
    )


def test_the_main_list_comes_first(tmp_path: Path) -> None:
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    for path in (parts / "a.list", parts / "b.sources", parts / "c.list.save", tmp_path / "sources.list"):
        path.write_text(path.name)
    assert list(load_lists(tmp_path)) == ["sources.list", "a.list", "b.sources"]


def test_the_machine_is_left_alone(tmp_path: Path) -> None:
    configuration = render_configuration(tmp_path, "arm64")
    for setting in ("Dir::State::lists", "Dir::State::status", "Dir::Cache", "Dir::Etc::sourcelist"):
        assert f'{setting} "{tmp_path}' in configuration
    assert "#clear APT::Update::Post-Invoke;" in configuration


def test_file_names_are_read_from_the_printed_addresses() -> None:
    listing = "Reading package lists...\n'http://a.example/p/b_1%3a2_arm64.deb' b_1%3a2_arm64.deb 12 SHA256:00\n"
    assert parse_print_uris(listing) == ["b_1%3a2_arm64.deb"]


def test_a_failed_download_says_which_packages_were_wanted(tmp_path: Path) -> None:
    def runner(
        argv: Sequence[str], *, env: Mapping[str, str] | None = None, folder: Path | None = None, timeout: float = 0
    ) -> Result:
        return Result(code=100, err="E: Unable to locate package gcc")

    archive = Archive(uris="http://mirror.example")
    world = World(folder=tmp_path, archive=archive, suite="sid", architecture="amd64", runner=runner)
    with pytest.raises(HostError, match="packages of sid for amd64 cannot be fetched: gcc") as caught:
        world.fetch(["gcc"])
    assert "Unable to locate package gcc" in caught.value.render()
