"""Hooks of schemathesis for constraints that the OpenAPI description cannot express."""

import re

import schemathesis

CURSOR = re.compile("[0-9a-f]{1,16}-[0-9a-f]{16}")
# Invisible characters and noncharacters beyond the basic multilingual plane: regular expressions
# have no portable notation for them. tests/parse.rs of the orders crate tests them.
INVISIBLE = re.compile(
    "[\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    + "".join(chr(plane << 16 | end) for plane in range(1, 17) for end in (0xFFFE, 0xFFFF))
    + "]"
)


def visible(value):
    """Replaces each invisible character in a JSON value by a visible one."""
    if isinstance(value, str):
        return INVISIBLE.sub("x", value)
    if isinstance(value, list):
        return [visible(item) for item in value]
    if isinstance(value, dict):
        return {visible(key): visible(item) for key, item in value.items()}
    return value


@schemathesis.hook
def before_call(context, case, kwargs):
    """Removes generated cursors: a cursor is valid only for the list that returned it. Others are
    refused, which tests/lists.rs tests."""
    case.body = visible(case.body)
    cursor = (case.query or {}).get("cursor")
    if isinstance(cursor, str) and CURSOR.fullmatch(cursor):
        del case.query["cursor"]
