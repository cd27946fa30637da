"""What schemathesis has to be told of this API: how bodies that are no JSON are sent. Loaded by SCHEMATHESIS_HOOKS."""

import schemathesis


@schemathesis.serializer("application/sdp", "application/trickle-ice-sdpfrag")
def text(context, value):
    return str(value).encode("utf-8", "replace")
