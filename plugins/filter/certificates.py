"""Ansible's filters about certificates: their names, their age, whom a host trusts, and what is wrong with one."""

import datetime
import ipaddress
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID


def certificate_alternative_names(names: Iterable[str]) -> list[str]:
    """Return names and addresses as `subject_alt_name` of community.crypto takes them."""
    return [f"{'IP' if _is_address(name) else 'DNS'}:{name}" for name in names]


def certificate_days(text: str) -> int:
    """Return for how many whole days a certificate is still valid; -1 for one that has ended, and for what is none."""
    try:
        end = x509.load_pem_x509_certificate(text.encode()).not_valid_after_utc
    except ValueError:
        return -1
    return max(-1, (end - _now()).days)


def certificate_metric(text: str) -> str:
    """Return when a certificate ends, in Prometheus' text format."""
    end = x509.load_pem_x509_certificate(text.encode()).not_valid_after_utc
    name = "warren_certificate_end_timestamp_seconds"
    return f"# TYPE {name} gauge\n{name} {end.timestamp():.0f}\n"


def certificate_bundle(paths: Iterable[str]) -> str:
    """Return the certificates of these files of this machine, one after the other."""
    return "".join(f"{Path(path).read_text().strip()}\n" for path in paths)


def certificate_bundle_problems(paths: Iterable[str]) -> list[str]:
    """Return what is wrong with the files of other authorities' certificates, each as a sentence."""
    return [text for path in paths for text in certificate_problems(path, "", [], "")]


def certificate_problems(
    certificate: str, key: str, names: Iterable[str], authority: str, client: bool = False
) -> list[str]:
    """Return what is wrong with a certificate of the operator's, each as a sentence with what to do.

    :param certificate: the file with it, on this machine; what stands between it and the authority may follow in it.
    :param key: the file with its key; empty where there need not be one.
    :param names: what it must be valid for; empty for an authority's own.
    :param authority: the file with the authority's certificate; empty for an authority's own.
    :param client: whether the host also shows it where it is a client.
    """
    try:
        own = _certificates(certificate)
    except (OSError, ValueError) as error:
        return [f"{certificate} {_why(error)}: give a file with a certificate in PEM."]
    problems = [
        *_untimely(own[0], certificate),
        *_wrong_key(own[0], key, certificate),
        *_lacking_names(own[0], names, certificate),
        *(_not_of_client(own[0], certificate) if client else []),
    ]
    if not authority:
        if not _may_sign(own[0]):
            problems.append(
                f"{certificate} is no certificate of an authority: give the one that signs the certificates of hosts."
            )
        return problems
    try:
        trusted = _certificates(authority)
    except (OSError, ValueError):
        # Said of the authority itself.
        return problems
    if not _signed(own, trusted):
        problems.append(
            f"{certificate} is not signed by the authority, {authority}: give one that is, followed by the "
            "certificates between both."
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
        return "does not exist"
    return "cannot be read" if isinstance(error, OSError) else "has no certificate"


def _certificates(path: str) -> list[x509.Certificate]:
    """Return the certificates of a file, at least one.

    :raises OSError: it cannot be read. :raises ValueError: it has none.
    """
    return x509.load_pem_x509_certificates(Path(path).read_bytes())


def _untimely(certificate: x509.Certificate, path: str) -> Iterator[str]:
    begin, end, now = certificate.not_valid_before_utc, certificate.not_valid_after_utc, _now()
    if end < now:
        yield f"{path} is valid until {end:%Y-%m-%d} only: renew it, and run this again."
    elif begin > now:
        yield f"{path} is valid from {begin:%Y-%m-%d %H:%M} UTC only: set this machine's clock, or wait until then."


def _wrong_key(certificate: x509.Certificate, key: str, path: str) -> Iterator[str]:
    if not key:
        return
    try:
        private = serialization.load_pem_private_key(Path(key).read_bytes(), password=None)
    except OSError as error:
        yield f"{key} {_why(error)}: give the file with the key of {path}."
    except TypeError:
        yield f"{key} has a passphrase, which nobody would type when a service starts: give the key without it."
    except (ValueError, UnsupportedAlgorithm):
        yield f"{key} has no key in PEM: give the file with the key of {path}."
    else:
        if private.public_key() != certificate.public_key():
            yield f"{key} does not belong to the certificate in {path}: give the two that belong together."


def _not_of_client(certificate: x509.Certificate, path: str) -> Iterator[str]:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        # It is for everything.
        return
    if ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        yield (
            f"{path} is not for clients, and brokers are clients of each other: have clientAuth added to its extended "
            "key usage, or set `cluster_tls_between_brokers: false`."
        )


def _lacking_names(certificate: x509.Certificate, names: Iterable[str], path: str) -> Iterator[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        has = set()
    else:
        has = {*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))}
    if lacking := [wanted for wanted in names if wanted not in has]:
        yield (
            f"{path} is not valid for {', '.join(lacking)}, and clients would refuse it: have one made with these as "
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
            "certificate_metric": certificate_metric,
            "certificate_bundle": certificate_bundle,
            "certificate_bundle_problems": certificate_bundle_problems,
            "certificate_problems": certificate_problems,
        }
