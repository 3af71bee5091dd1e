"""Recipes byte for byte: what changes them by accident would make every machine compile again."""

from __future__ import annotations

from buildonce.plan.recipes import encode_recipe
from buildonce.plan.sources import FolderContext, ImageContext, RemoteContext
from buildonce.plan.verdicts import VerdictKind
from tests.plan.projects import FakeContext, image_of, only_core, plan_of

TEXT = """\
FROM scratch AS builder
ARG API_TOKEN=hunter2
ENV LANG=C
COPY --chown=1:2 --chmod=0755 src/ ./
RUN --mount=type=cache,target=/c --network=none make all
ADD https://$API_TOKEN@example.com/x /x
FROM scratch AS app
COPY --from=builder /app /
"""


def stage_recipe(text: str = TEXT) -> str:
    return encode_recipe(only_core(plan_of(text, files={"src/a": "a"})).stage_recipe).decode()


def test_secret_looking_values_are_nowhere_in_clear_but_count() -> None:
    assert "hunter2" not in stage_recipe()
    assert stage_recipe() != stage_recipe(TEXT.replace("hunter2", "hunter3"))


def test_a_recipe_is_written_so() -> None:
    text = "FROM scratch AS builder\nENV LANG=C\nRUN --mount=type=cache,target=/c --network=none make all\n"
    core = only_core(plan_of(text + "FROM scratch AS app\nCOPY --from=builder /app /\n"))
    assert encode_recipe(core.stage_recipe) == GOLDEN
    assert core.key == GOLDEN_KEY


COPIES = "FROM scratch AS app\nCOPY --from=stuff /a /\n"


def test_what_is_copied_from_a_folder_counts_and_nothing_else_of_it() -> None:
    def key(**files: str) -> str:
        context = FolderContext(path="/anywhere", files=FakeContext(files))
        return image_of(plan_of(COPIES, named_contexts={"stuff": context}), "app").base

    assert key(a="1", b="1") == key(a="1", b="2") != key(a="2", b="2")


def test_a_named_context_of_an_image_goes_before_a_stage() -> None:
    text = "FROM gcc AS builder\nRUN make\nFROM scratch AS app\nCOPY --from=builder /a /\n"
    plan = plan_of(text, named_contexts={"builder": ImageContext(address="mine:1")})
    recipe = only_core(plan).stage_recipe
    assert recipe.steps == ()
    assert recipe.origin.startswith("sha256:")


def test_an_image_from_files_of_a_named_context_is_the_engines() -> None:
    plan = plan_of("FROM stuff AS app\nCMD x\n", named_contexts={"stuff": RemoteContext(address="https://x/y.git")})
    assert image_of(plan, "app").verdict.kind is VerdictKind.ENGINE
    assert image_of(plan, "app").recipe.origin == "address:https://x/y.git"


def test_an_address_that_nothing_pins_is_told() -> None:
    (warning,) = plan_of("FROM scratch AS app\nADD https://example.com/x /\n").warnings
    assert "`https://example.com/x`" in warning
    assert not plan_of(f"FROM scratch AS app\nADD --checksum=sha256:{'0' * 64} https://example.com/x /\n").warnings


GOLDEN = (
    rb"""{"kind":"stage","origin":"scratch","platform":"linux/amd64","steps":[{"environment":{"LANG"""
    rb"""":"C","PATH":"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},"text":"RUN -"""
    rb"""-mount={\"readonly\":false,\"target\":\"/c\",\"type\":\"cache\"} --network=\"none\" make a"""
    rb"""ll","workdir":"/"}]}"""
)
GOLDEN_KEY = "c0c7c4e7fa5c82e689420fdfe0aadf235980e1d361dd1c34f0aa12bfb981437b"
