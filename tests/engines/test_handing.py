"""What a build is handed: checked, scoped to one stage, and spelt for each engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from buildonce.build_options import (
    BuildOptions,
    Secret,
    conceal_cache,
    holds_credentials,
    join_options,
    parse_secret,
    tidy_cache,
    tidy_secret,
)
from buildonce.engines import buildah, buildx
from buildonce.engines.handing import check_handed, scope_caches, spell_secrets
from buildonce.engines.traits import buildah_traits, require_options
from buildonce.errors import EngineUnavailable, UsageError
from buildonce.oci import parse_platform
from tests.engines.jobs import make_job

ARM64 = parse_platform("linux/arm64")
EVERYTHING = BuildOptions(
    network="host",
    extra_hosts={"db": "10.0.0.1, ::1", "a": "host-gateway"},
    ulimits={"nofile": "1:2"},
    shm_size="1g",
    allow=("network.host",),
    secrets=("id=a,env=HOME",),
    ssh=("default",),
    cache_from=("type=registry,ref=r.io/a:b",),
    cache_to=("type=registry,ref=r.io/a:b,mode=max",),
    no_cache=True,
    no_cache_filter=("builder",),
)
SANDBOX = [
    *("--network", "host", "--add-host", "a=host-gateway", "--add-host", "db=10.0.0.1", "--add-host", "db=::1"),
    *("--ulimit", "nofile=1:2", "--shm-size", "1g"),
]


def test_buildx_is_told_everything() -> None:
    assert list(buildx.option_arguments(EVERYTHING)) == [
        *SANDBOX,
        *("--allow", "network.host", "--secret", "id=a,env=HOME", "--ssh", "default"),
        *("--cache-from", "type=registry,ref=r.io/a:b", "--cache-to", "type=registry,ref=r.io/a:b,mode=max"),
        *("--no-cache-filter", "builder", "--no-cache"),
    ]
    assert buildx.option_arguments(BuildOptions()) == ()


def test_buildah_is_told_everything_in_its_words() -> None:
    assert list(buildah.option_arguments(EVERYTHING)) == [
        *(word.replace("db=", "db:").replace("a=", "a:") for word in SANDBOX),
        *("--secret", "id=a,env=HOME", "--ssh", "default"),
        *("--cache-from", "r.io/a", "--cache-to", "r.io/a", "--no-cache"),
    ]


def test_buildah_says_what_caches_it_does_not_have(tmp_path: Path) -> None:
    job = replace(make_job(tmp_path), options=BuildOptions(cache_to=("type=gha",)))
    with pytest.raises(EngineUnavailable, match=r"buildah 1\.43 has no cache of the type `gha`"):
        require_options(buildah_traits((1, 43)), job)


@pytest.mark.parametrize(
    ("cache", "scoped"),
    [
        ("r.io/acme/cache", "type=registry,ref=r.io/acme/cache:buildcache-b_c-linux-arm64"),
        ("r.io:5000/cache", "type=registry,ref=r.io:5000/cache:buildcache-b_c-linux-arm64"),
        ("type=registry,ref=r.io/c:v1,mode=max", "type=registry,mode=max,ref=r.io/c:v1-b_c-linux-arm64"),
        ("type=registry,ref=r.io/c@sha256:00", "type=registry,ref=r.io/c@sha256:00"),
        ("type=gha", "type=gha,scope=buildonce-b_c-linux-arm64"),
        ("type=gha,scope=mine,mode=max", "type=gha,mode=max,scope=mine-b_c-linux-arm64"),
        ("type=local,dest=/tmp/c/", "type=local,dest=/tmp/c/b_c-linux-arm64"),
        ("type=local,src=c", "type=local,src=c/b_c-linux-arm64"),
        ("type=s3,bucket=b", "type=s3,bucket=b,name=buildonce-b_c-linux-arm64"),
    ],
)
def test_each_stage_and_platform_has_a_cache_of_its_own(cache: str, scoped: str) -> None:
    options = scope_caches(BuildOptions(cache_from=(cache,), cache_to=(cache,)), "b/c", ARM64)
    assert options.cache_from == options.cache_to == (scoped,)


@pytest.mark.parametrize(
    ("cache", "said"),
    [
        ("type=oci,dest=x", "has the type `oci`, of which a stage can have none of its own"),
        ("type=x,token=abc", "`type=x,token=...` has the type `x`"),
        ("type=registry", "has no ref"),
        ("ref=r.io/c", "has no type"),
        ("type=gha,mode", "`mode` in the cache `type=gha,mode` has no value"),
    ],
)
def test_a_cache_that_cannot_be_scoped_is_an_error(cache: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        scope_caches(BuildOptions(cache_to=(cache,)), "builder", ARM64)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("id=a,src=b", Secret(id="a", file="b")),
        ("id=a,source=b,type=file", Secret(id="a", file="b")),
        ("id=a,env=B", Secret(id="a", variable="B")),
        ("type=env,id=a,src=B", Secret(id="a", variable="B")),
        ("id=KNOWN", Secret(id="KNOWN", variable="KNOWN")),
        ("id=unknown", Secret(id="unknown", file="unknown")),
        ("id=KNOWN,type=file", Secret(id="KNOWN", file="KNOWN")),
        ('id=a,"src=b,c"', Secret(id="a", file="b,c")),
    ],
)
def test_a_secret_is_what_buildx_takes_it_for(text: str, secret: Secret) -> None:
    assert parse_secret(text, {"KNOWN": "x"}) == secret


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("src=b", "the secret `src=b` has no id"),
        ("id=a,type=x", "has the type `x`"),
        ("id=a,mode=0400", "has a field `mode`, which is not known"),
        ("a", "`a` in the secret `a` has no value"),
        ("", "has no id"),
    ],
)
def test_a_secret_that_is_none_is_an_error(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_secret(text, {})


def test_a_secret_of_two_lines_is_an_error() -> None:
    with pytest.raises(UsageError, match="has more than one line"):
        parse_secret("id=a\nb", {})


def test_a_cache_inside_the_image_is_passed_over() -> None:
    options = scope_caches(BuildOptions(cache_to=("type=inline", "type=gha")), "builder", ARM64)
    assert options.cache_to == ("type=gha,scope=buildonce-builder-linux-arm64",)


def test_secrets_are_spelt_as_files_and_variables() -> None:
    told = BuildOptions(secrets=("source=f,id=a", "type=env,id=b,src=B", "id=KNOWN"))
    assert spell_secrets(told, {"KNOWN": ""}).secrets == ("id=a,src=f", "id=b,env=B", "id=KNOWN,env=KNOWN")


def test_the_usual_network_is_not_named() -> None:
    assert buildah.option_arguments(BuildOptions(network="default")) == ()


def test_credentials_of_a_cache_are_not_shown() -> None:
    text = "type=s3,bucket=b,secret_access_key=xyz,access_key_id=id"
    assert conceal_cache(text) == "type=s3,access_key_id=...,bucket=b,secret_access_key=..."
    assert holds_credentials(text)
    assert not holds_credentials("type=gha,scope=a")


def test_what_several_share_is_handed_what_all_of_them_have() -> None:
    one, other = (
        BuildOptions(secrets=("id=a,env=A",), ssh=("default",)),
        BuildOptions(secrets=("id=b,env=B",), no_cache=True),
    )
    joined = join_options([one, other, one])
    assert joined == BuildOptions(secrets=("id=a,env=A", "id=b,env=B"), ssh=("default",), no_cache=True)
    with pytest.raises(UsageError, match="has two secrets `a`: id=a,env=A and id=a,env=B"):
        join_options([one, BuildOptions(secrets=("id=a,env=B",))])


def test_equal_things_are_spelt_alike() -> None:
    assert tidy_secret("source=b,type=file,id=a") == tidy_secret("id=a,src=b") == "id=a,src=b"
    assert tidy_cache("ref=r.io/a,type=registry") == tidy_cache("r.io/a") == "type=registry,ref=r.io/a"


def test_what_is_there_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    told = BuildOptions(secrets=(f"id=a,src={tmp_path}/key", "id=b,env=B"), ssh=("default", f"k={tmp_path}/key"))
    check_handed(told, {"B": "x", "SSH_AUTH_SOCK": "/agent"})


def test_an_empty_variable_is_no_secret() -> None:
    with pytest.raises(UsageError, match="the variable B, which is not set, or empty"):
        check_handed(BuildOptions(secrets=("id=b,env=B",)), {"B": ""})
