"""Certificates: what is wrong with an operator's, how long they are valid, and whom hosts trust."""

import datetime
import re

import certificates
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NAMES = ["mq1", "192.0.2.11", "rabbitmq"]
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
NOW = datetime.datetime.now(datetime.UTC)


class Made:
    """A key and a certificate in files of a folder; `by` has signed it, or it itself."""

    def __init__(self, folder, name, names=(), by=None, begin=-1, end=10, authority=False, usage=()):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.subject)
            .issuer_name(by.subject if by else self.subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW + datetime.timedelta(days=begin))
            .not_valid_after(NOW + datetime.timedelta(days=end))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if names:
            general = [
                x509.IPAddress(certificates.ipaddress.ip_address(one))
                if re.fullmatch(r"[0-9.]+", one)
                else x509.DNSName(one)
                for one in names
            ]
            builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
        if usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        certificate = builder.sign((by or self).key, hashes.SHA256())
        self.text = certificate.public_bytes(serialization.Encoding.PEM).decode()
        self.file, self.key_file = folder / f"{name}.crt", folder / f"{name}.key"
        self.file.write_text(self.text)
        self.write_key(serialization.NoEncryption())

    def write_key(self, encryption):
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        self.key_file.write_bytes(self.key.private_bytes(*form))


@pytest.fixture
def authority(tmp_path):
    return Made(tmp_path, "authority", authority=True)


def problems(made, authority, key=None):
    key_file = str((key or made).key_file)
    return certificates.certificate_problems(str(made.file), key_file, NAMES, str(authority.file))


def test_a_certificate_that_fits_is_right(tmp_path, authority):
    assert problems(Made(tmp_path, "host", NAMES, by=authority), authority) == []
    assert certificates.certificate_problems(str(authority.file), str(authority.key_file), [], "") == []
    assert certificates.certificate_bundle_problems([str(authority.file)]) == []


def test_a_certificate_for_servers_only_is_not_one_of_a_client(tmp_path, authority):
    """Most authorities give out no others."""
    for usage, fits in (([SERVER], False), ([SERVER, CLIENT], True), ([], True)):
        made = Made(tmp_path, "host", NAMES, by=authority, usage=usage)
        given = (str(made.file), str(made.key_file), NAMES, str(authority.file))
        assert certificates.certificate_problems(*given) == []
        said = certificates.certificate_problems(*given, client=True)
        assert fits or said[0].startswith(f"{made.file} is not for clients, and brokers are clients of each other: ")
        assert len(said) == (not fits)


def test_a_certificate_of_an_authority_between_is_right_with_that_behind_it(tmp_path, authority):
    between = Made(tmp_path, "between", by=authority, authority=True)
    host = Made(tmp_path, "host", NAMES, by=between)
    assert "is not signed by" in " ".join(problems(host, authority))
    host.file.write_text(host.text + between.text)
    assert problems(host, authority) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"end": -0.5}, r"is valid until \d{4}-\d\d-\d\d only: renew it"),
        ({"begin": 1}, r"is valid from .* UTC only: set this machine's clock"),
        ({"names": ["mq1"]}, r"is not valid for 192\.0\.2\.11, rabbitmq, and clients would refuse it"),
        ({"names": []}, r"is not valid for mq1, 192\.0\.2\.11, rabbitmq"),
        ({"by": None}, r"is not signed by the authority, "),
    ],
)
def test_a_certificate_that_does_not_fit_is_said(tmp_path, authority, wrong, said):
    made = Made(tmp_path, "host", **{"names": NAMES, "by": authority} | wrong)
    (sentence,) = problems(made, authority)
    assert sentence.startswith(f"{made.file} is ")
    assert re.search(said, sentence)


def test_a_key_that_does_not_fit_is_said(tmp_path, authority):
    host, other = Made(tmp_path, "host", NAMES, by=authority), Made(tmp_path, "other")
    begin = f"{other.key_file} "
    assert problems(host, authority, key=other)[0].startswith(begin + "does not belong to the certificate in")
    other.write_key(serialization.BestAvailableEncryption(b"secret"))
    assert problems(host, authority, key=other)[0].startswith(begin + "has a passphrase")
    other.key_file.write_text("no key")
    assert problems(host, authority, key=other)[0].startswith(begin + "has no key in PEM")
    other.key_file.unlink()
    assert problems(host, authority, key=other)[0].startswith(begin + "does not exist")


def test_a_file_without_a_certificate_is_said(tmp_path, authority):
    host = Made(tmp_path, "host", NAMES, by=authority)
    host.file.write_text("no certificate")
    assert problems(host, authority) == [f"{host.file} has no certificate: give a file with a certificate in PEM."]
    host.file.unlink()
    assert "does not exist" in problems(host, authority)[0]


def test_what_is_no_authority_is_said(tmp_path):
    host = Made(tmp_path, "host", NAMES)
    (sentence,) = certificates.certificate_bundle_problems([str(host.file)])
    assert "is no certificate of an authority" in sentence


def test_days_are_counted_down(tmp_path):
    assert certificates.certificate_days(Made(tmp_path, "long", end=9.5).text) == 9
    assert certificates.certificate_days(Made(tmp_path, "last", end=0.5).text) == 0
    assert certificates.certificate_days(Made(tmp_path, "over", end=-0.5).text) == -1
    assert certificates.certificate_days("") == -1


def test_a_bundle_has_all_certificates(tmp_path):
    first, second = Made(tmp_path, "first"), Made(tmp_path, "second")
    assert certificates.certificate_bundle([str(first.file), str(second.file)]) == first.text + second.text


def test_the_metric_says_when_a_certificate_ends(tmp_path):
    name, value = certificates.certificate_metric(Made(tmp_path, "host", end=2).text).splitlines()[-1].split()
    assert name == "warren_certificate_end_timestamp_seconds"
    assert int(value) == pytest.approx((NOW + datetime.timedelta(days=2)).timestamp(), abs=2)


def test_names_and_addresses_are_told_apart():
    names = certificates.certificate_alternative_names(["mq1", "192.0.2.11", "2001:db8::1"])
    assert names == ["DNS:mq1", "IP:192.0.2.11", "IP:2001:db8::1"]
