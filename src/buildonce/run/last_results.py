"""[io] The account of what was last built under a name, kept in the cache beside the results themselves."""

from __future__ import annotations

import msgspec

from buildonce.oci import MediaType
from buildonce.plan.accounts import Account
from buildonce.store.attachments import put_attachment, read_attachment
from buildonce.store.protocol import Source, Store
from buildonce.store.results import NOT_IN_TAGS

ACCOUNT_TYPE = MediaType("application/vnd.buildonce.account.v1+json+zlib")


async def keep_last(store: Store, account: Account) -> None:
    """Keep the account of what was just built; the one of the result before it is forgotten."""
    await put_attachment(store, msgspec.json.encode(account), ACCOUNT_TYPE, tag=_tag(account))


async def find_last(source: Source, like: Account) -> Account | None:
    """Return the account of what was last built of the same kind, name and platform, if there is one."""
    content = await read_attachment(source, _tag(like), ACCOUNT_TYPE)
    try:
        return msgspec.json.decode(content, type=Account) if content is not None else None
    except msgspec.DecodeError:
        return None


async def last_seconds(source: Source, *, kind: str, name: str, platform: str) -> float | None:
    """Return how long an engine took for what was last built of this kind, name and platform, if anything was."""
    like = Account(kind=kind, name=name, platform=platform, key="", root="", stages={})
    last = await find_last(source, like)
    return last.seconds if last else None


def _tag(account: Account) -> str:
    name = NOT_IN_TAGS.sub("_", account.name)[:48]
    return f"last-{account.kind}-{name}-{account.platform.replace('/', '-')}"
