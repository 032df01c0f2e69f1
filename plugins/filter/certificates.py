"""Ansible's filters about certificates: their names, their age, whom a host trusts, and what is wrong with an operator's."""

import datetime
import ipaddress
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization


def certificate_alternative_names(names: Iterable[str]) -> list[str]:
    """Return names and addresses as `subject_alt_name` of community.crypto takes them."""
    return [f"{'IP' if _is_address(name) else 'DNS'}:{name}" for name in names]


def certificate_days(text: str) -> int:
    """Return for how many whole days a certificate is still valid; -1 for none, for one that has ended, and for what is no certificate."""
    try:
        end = x509.load_pem_x509_certificate(text.encode()).not_valid_after_utc
    except ValueError:
        return -1
    return max(-1, (end - _now()).days)


def certificate_bundle(paths: Iterable[str]) -> str:
    """Return the certificates of these files of this machine, one after the other."""
    return "".join(f"{Path(path).read_text().strip()}\n" for path in paths)


def certificate_problems(certificate: str, key: str, names: Iterable[str], authority: str, inputs: list[str]) -> list[str]:
    """Return what is wrong with a certificate of the operator's, each as a sentence with what to do.

    :param certificate: the file with it, on this machine; what stands between it and the authority may follow in it.
    :param key: the file with its key; empty where there need not be one.
    :param names: what it must be valid for; empty for an authority's own.
    :param authority: the file with the authority's certificate; empty for an authority's own.
    :param inputs: the inputs with the certificate, the key and the authority, in this order.
    """
    name, name_of_key, name_of_authority = inputs
    try:
        own = _certificates(certificate)
    except (OSError, ValueError) as error:
        return [f"`{name}` is {certificate}, {_why(error)}: give a file with a certificate in PEM."]
    problems = [
        *_untimely(own[0], name, certificate),
        *_wrong_key(own[0], key, name_of_key, name),
        *_lacking_names(own[0], names, name, certificate),
    ]
    if not authority:
        if not _may_sign(own[0]):
            problems.append(f"`{name}` is {certificate}, which is no certificate of an authority: give the one that signs those of hosts.")
        return problems
    try:
        trusted = _certificates(authority)
    except (OSError, ValueError):
        # Said of the authority itself.
        return problems
    if not _signed(own, trusted):
        problems.append(
            f"`{name}` is {certificate}, which the authority of `{name_of_authority}`, {authority}, has not signed: give one that it has, "
            "followed by the certificates between both."
        )
    return problems


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _why(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "which does not exist"
    return "which cannot be read" if isinstance(error, OSError) else "which has none"


def _certificates(path: str) -> list[x509.Certificate]:
    """Return the certificates of a file, at least one.

    :raises OSError: it cannot be read. :raises ValueError: it has none.
    """
    return x509.load_pem_x509_certificates(Path(path).read_bytes())


def _untimely(certificate: x509.Certificate, name: str, path: str) -> Iterator[str]:
    begin, end, now = certificate.not_valid_before_utc, certificate.not_valid_after_utc, _now()
    if end < now:
        yield f"`{name}` is {path}, which is valid until {end:%Y-%m-%d} only: renew it, and run this again."
    elif begin > now:
        yield f"`{name}` is {path}, which is valid from {begin:%Y-%m-%d %H:%M} UTC only: set this machine's clock, or wait until then."


def _wrong_key(certificate: x509.Certificate, key: str, name_of_key: str, name: str) -> Iterator[str]:
    if not key:
        return
    try:
        private = serialization.load_pem_private_key(Path(key).read_bytes(), password=None)
    except OSError as error:
        yield f"`{name_of_key}` is {key}, {_why(error)}: give the file with the key of `{name}`."
    except TypeError:
        yield f"`{name_of_key}` is {key}, which has a passphrase, and services start without one: give the key without it."
    except (ValueError, UnsupportedAlgorithm):
        yield f"`{name_of_key}` is {key}, which has no key in PEM: give the file with the key of `{name}`."
    else:
        if private.public_key() != certificate.public_key():
            yield f"`{name_of_key}` is {key}, which does not belong to the certificate of `{name}`: give the two that belong together."


def _lacking_names(certificate: x509.Certificate, names: Iterable[str], name: str, path: str) -> Iterator[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        has = set()
    else:
        has = {*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))}
    if lacking := [wanted for wanted in names if wanted not in has]:
        yield (
            f"`{name}` is {path}, which is not valid for {', '.join(lacking)}, and clients would refuse it: have one made with these as "
            "alternative names (subjectAltName)."
        )


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        return False


def _signed(chain: list[x509.Certificate], trusted: list[x509.Certificate]) -> bool:
    """Return whether one of the trusted certificates has signed the first of a chain, perhaps by way of the others."""
    for issuer in [*trusted, *chain[1:]]:
        try:
            chain[0].verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            continue
        if issuer in trusted or _signed([issuer, *[other for other in chain[1:] if other != issuer]], trusted):
            return True
    return False


class FilterModule:
    """The filters, as Ansible asks for them."""

    def filters(self) -> dict[str, Callable]:
        return {
            "certificate_alternative_names": certificate_alternative_names,
            "certificate_days": certificate_days,
            "certificate_bundle": certificate_bundle,
            "certificate_problems": certificate_problems,
        }
