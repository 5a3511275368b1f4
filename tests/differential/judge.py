"""PyPI `joserfc` as the third judge: tokens on stdin, one JSON text a line; a verdict a line on stdout.

The first line holds what all judges expect: {issuer, audience, algorithms, tolerance, now, keys}.
"""

import json
import sys

from joserfc import jwt
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry


class Registry(JWSRegistry):
    """Takes headers of the length that the other judges take."""

    max_header_length = 2048


expected = json.loads(sys.stdin.readline())
# RFC 7515 section 4: header parameters that are not understood are ignored.
registry = Registry(algorithms=expected["algorithms"], strict_check_header=False)
keys = KeySet.import_key_set({"keys": expected["keys"]})
claims = jwt.JWTClaimsRegistry(
    now=expected["now"],
    leeway=expected["tolerance"],
    iss={"essential": True, "value": expected["issuer"]},
    aud={"essential": True, "value": expected["audience"]},
    exp={"essential": True},
)
verdicts = []
for line in sys.stdin:
    try:
        token = jwt.decode(json.loads(line), keys, registry=registry)
        claims.validate(token.claims)
        verdicts.append({"verdict": "accept", "reason": ""})
    except Exception as error:  # noqa: BLE001 - whatever it is, it is no acceptance
        verdicts.append({"verdict": "reject", "reason": f"{type(error).__name__}: {error}"[:120]})
sys.stdout.write("".join(json.dumps(verdict) + "\n" for verdict in verdicts))
