#!/usr/bin/env python3
"""Reads what a wanproof agent signed, with nothing but docs/wire.md and two libraries from PyPI:

    pip install jwcrypto hdrhistogram
    read_summaries.py --key agent.jwk --key collector.jwk DIRECTORY|FILE|BUNDLE.zip...

It verifies every signature, follows every chain, checks that counts and histograms add up, matches receipts and the
digests of a bundle's members, and prints one line for each probe. The exit code is 1 when anything is wrong.
"""

import argparse
import base64
import hashlib
import json
import pathlib
import re
import sys
import zipfile

from hdrh.histogram import HdrHistogram
from jwcrypto import jwk, jws

LETTERS = "atlunx"


class Wrong(Exception):
    """Something is not as the page says."""


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def thumbprint(key):
    public = {"crv": "Ed25519", "kty": "OKP", "x": key["x"]}
    return b64url(hashlib.sha256(json.dumps(public, separators=(",", ":"), sort_keys=True).encode()).digest())


def read_key(path):
    written = json.loads(path.read_text())
    public = {name: written[name] for name in ("kty", "crv", "x")}
    return thumbprint(public), jwk.JWK(**public)


def verify(compact, keys):
    """The typ and the payload of a JWS, once its signature was verified by the key of its kid."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", compact):
        raise Wrong("not a compact JWS")
    token = jws.JWS()
    token.allowed_algs = ["EdDSA", "Ed25519"]
    token.deserialize(compact)
    header = token.jose_header
    if "crit" in header:
        raise Wrong("unknown crit")
    kid = header.get("kid")
    if kid not in keys:
        raise Wrong(f"signed with {kid}, which is none of the keys given")
    try:
        token.verify(keys[kid], alg=header["alg"])
    except jws.InvalidJWSSignature as error:
        raise Wrong("wrong signature") from error
    return header.get("typ"), json.loads(token.payload), kid


def outcomes(text):
    """57a2l1a as a list of letters."""
    runs = re.findall(r"([1-9][0-9]*)([atlunx])", text)
    if "".join(count + letter for count, letter in runs) != text:
        raise Wrong(f"not outcomes: {text}")
    return [letter for count, letter in runs for _ in range(int(count))]


def histogram(text):
    return HdrHistogram.decode(text) if text else None


def count_of(values):
    return values.get_total_count() if values else 0


class Probe:
    """What one probe saw in all."""

    def __init__(self):
        self.counts = dict.fromkeys(LETTERS, 0)
        self.rtt = HdrHistogram(1, 60_000_000, 3)

    def add(self, probe, interval):
        seen = outcomes(interval["outcomes"])
        if abs(len(seen) - interval["seconds"] * 1000 / probe["period_ms"]) > 1:
            raise Wrong(f"{len(seen)} outcomes in {interval['seconds']} s")
        answered = [letter in "at" for letter in seen]
        rtt, ipdv = histogram(interval.get("rtt_us")), histogram(interval.get("ipdv_us"))
        if count_of(rtt) != sum(answered):
            raise Wrong(f"{count_of(rtt)} round-trip times of {sum(answered)} answers")
        pairs = sum(one and two for one, two in zip(answered, answered[1:]))
        if count_of(ipdv) != pairs:
            raise Wrong(f"{count_of(ipdv)} differences of {pairs} pairs")
        for letter in seen:
            self.counts[letter] += 1
        if rtt:
            self.rtt.add(rtt)


def texts(path, wrong):
    """The names and texts of the JWS in a file, a directory or a bundle."""
    if path.is_dir():
        return [(str(file), file.read_text()) for file in sorted(path.rglob("*.jws"))]
    if path.suffix != ".zip":
        return [(str(path), path.read_text())]
    with zipfile.ZipFile(path) as bundle:
        members = {name: bundle.read(name) for name in bundle.namelist()}
        if len(members) != len(bundle.namelist()):
            wrong.append(f"{path}: a member is there twice")
    named = json.loads(members["claim.json"])["members"]
    for name in sorted(named.keys() | members.keys() - {"claim.json"}):
        if name not in members:
            wrong.append(f"{path}:{name}: it is missing")
        elif named.get(name) != hashlib.sha256(members[name]).hexdigest():
            wrong.append(f"{path}:{name}: its digest is not the one in claim.json")
    return [(f"{path}:{name}", data.decode()) for name, data in sorted(members.items()) if name.endswith(".jws")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--key", action="append", default=[], type=pathlib.Path, help="a public JWK that is trusted")
    parser.add_argument("paths", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()
    keys = dict(read_key(path) for path in arguments.key)

    chains, receipts, probes, wrong = {}, {}, {}, []
    for file, text in [pair for path in arguments.paths for pair in texts(path, wrong)]:
        try:
            compact = text.removesuffix("\n")
            typ, payload, kid = verify(compact, keys)
            if payload["v"] != 1:
                raise Wrong(f"version {payload['v']}")
            if typ == "wanproof-receipt+jws":
                if payload["collector"] != kid or payload["agent"] == kid:
                    raise Wrong("not by a collector")
                receipts[payload["digest"]] = payload
            elif typ == "wanproof-summary+jws":
                digest = b64url(hashlib.sha256(compact.encode()).digest())
                chain = chains.setdefault((payload["agent"], payload["chain"]), {})
                if chain.setdefault(payload["seq"], (digest, payload["prev"]))[0] != digest:
                    raise Wrong(f"another summary of number {payload['seq']}")
                for probe in payload["probes"]:
                    total = probes.setdefault(probe["name"], Probe())
                    for interval in probe["intervals"]:
                        total.add(probe, interval)
            else:
                raise Wrong(f"a {typ}")
        except (Wrong, ValueError, KeyError, TypeError, jws.InvalidJWSObject) as error:
            wrong.append(f"{file}: {error}")

    summaries = 0
    for (agent, chain), members in chains.items():
        numbers = sorted(members)
        summaries += len(numbers)
        for before, number in zip(numbers, numbers[1:]):
            if number != before + 1:
                wrong.append(f"chain {chain}: numbers {before + 1} to {number - 1} are missing")
            elif members[number][1] != members[before][0]:
                wrong.append(f"chain {chain}: number {number} does not follow number {before}")
    known = {digest for members in chains.values() for digest, _ in members.values()}
    wrong += [f"a receipt for number {of['seq']}, which is not here" for digest, of in receipts.items() if digest not in known]

    for name, probe in sorted(probes.items()):
        figures = " ".join(f"p{p}={probe.rtt.get_value_at_percentile(p) / 1000:.1f}ms" for p in (50, 95, 99))
        print(name, " ".join(f"{letter}={count}" for letter, count in probe.counts.items()), figures)
    print(f"{summaries} summaries, {len(receipts)} receipts, {len(chains)} chains, {len(wrong)} faults")
    for what in wrong:
        print("WRONG", what, file=sys.stderr)
    return 1 if wrong or not summaries else 0


if __name__ == "__main__":
    sys.exit(main())
