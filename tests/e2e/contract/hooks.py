"""What cannot be said in a description of single requests."""

import re

import schemathesis

CURSOR = re.compile("[0-9a-f]{1,16}-[0-9a-f]{16}")
# Unseen characters beyond the basic multilingual plane, and noncharacters there: patterns have no
# notation for these that all readers share. tests/parse.rs of the orders crate tests them.
UNSEEN = re.compile(
    "[\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    + "".join(chr(plane << 16 | end) for plane in range(1, 17) for end in (0xFFFE, 0xFFFF))
    + "]"
)


def seen(value):
    """The same value with every such character replaced by one that can be seen."""
    if isinstance(value, str):
        return UNSEEN.sub("x", value)
    if isinstance(value, list):
        return [seen(item) for item in value]
    if isinstance(value, dict):
        return {seen(key): seen(item) for key, item in value.items()}
    return value


@schemathesis.hook
def before_call(context, case, kwargs):
    """A cursor is good for the list that it comes from. One that only looks like
    one is refused, which tests/lists.rs sees to."""
    case.body = seen(case.body)
    cursor = (case.query or {}).get("cursor")
    if isinstance(cursor, str) and CURSOR.fullmatch(cursor):
        del case.query["cursor"]
