"""Sealed values by another implementation of AES-SIV, written from the contract alone.

In, as lines of JSON: first a key ring, then cases {purpose, user, plaintext, sealed}, bytes in
hexadecimal. Out, one line for each: `opened`, what `sealed` opens to here, and `sealed`, what
`plaintext` seals to here.
"""

import base64
import json
import sys

from cryptography.hazmat.primitives.ciphers.aead import AESSIV

FORMAT = b"\x01"


def associated_data(purpose, user):
    return [b"sealpost/v1", purpose.encode(), user.to_bytes(8, "big")]


def main():
    ring, *cases = [json.loads(line) for line in sys.stdin]
    ciphers = {key["id"]: AESSIV(base64.b64decode(key["key"])) for key in ring["keys"]}
    primaries = {key["purpose"]: key["id"] for key in ring["keys"] if key["primary"]}
    print("{}")
    for case in cases:
        data = associated_data(case["purpose"], case["user"])

        sealed = bytes.fromhex(case["sealed"])
        if sealed[:1] != FORMAT:
            raise ValueError("unknown format")
        cipher = ciphers[int.from_bytes(sealed[1:5], "big")]
        opened = cipher.decrypt(sealed[5:], data)

        key_id = primaries[case["purpose"].split("/")[0]]
        text = ciphers[key_id].encrypt(bytes.fromhex(case["plaintext"]), data)
        resealed = FORMAT + key_id.to_bytes(4, "big") + text
        print(json.dumps({"opened": opened.hex(), "sealed": resealed.hex()}))


if __name__ == "__main__":
    main()
