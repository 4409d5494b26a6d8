"""The webhook's certificate: made when there is none, taken when there is one, taken anew when it changes."""

import ssl
import stat

import pytest

from plimsoll_operator.serve.certificate import (
    CertificateError,
    ServerCertificate,
    certificate_directory,
    make_self_signed,
)


async def served_by(certificate):
    """The certificate that a client of this TLS context sees, PEM; the handshake is real, in memory."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context()
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    ours = client.wrap_bio(incoming, outgoing)
    theirs = certificate.context.wrap_bio(outgoing, incoming, server_side=True)
    done = set()
    while len(done) < 2:
        for side in (ours, theirs):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                continue
    return ssl.DER_cert_to_PEM_cert(ours.getpeercert(binary_form=True))


async def test_makes_one_for_the_hosts_that_are_named(tmp_path):
    certificate = await ServerCertificate.prepare(
        tmp_path / "new", ["operator.plimsoll-system.svc", "127.0.0.1"]
    )
    pem = (tmp_path / "new" / "tls.crt").read_text()
    assert await served_by(certificate) == pem
    assert (tmp_path / "new" / "tls.key").stat().st_mode & 0o077 == 0
    trust = ssl.create_default_context(cadata=pem)
    names = [entry for known in trust.get_ca_certs() for entry in known["subjectAltName"]]
    assert ("DNS", "operator.plimsoll-system.svc") in names
    assert ("IP Address", "127.0.0.1") in names


async def test_takes_what_is_there(tmp_path):
    await make_self_signed(tmp_path, ["localhost"])
    before = (tmp_path / "tls.crt").read_bytes()
    certificate = await ServerCertificate.prepare(tmp_path, ["other"])
    assert (tmp_path / "tls.crt").read_bytes() == before
    assert await served_by(certificate) == before.decode()


async def test_serves_the_new_pair_once_the_files_change(tmp_path):
    certificate = await ServerCertificate.prepare(tmp_path / "a", ["localhost"])
    first = await served_by(certificate)
    assert not certificate.reload()
    await make_self_signed(tmp_path / "b", ["localhost"])
    for name in ("tls.crt", "tls.key"):
        (tmp_path / "b" / name).replace(tmp_path / "a" / name)
    assert certificate.reload()
    assert await served_by(certificate) != first


async def test_a_pair_that_cannot_be_read_leaves_the_old_one_in_use(tmp_path):
    certificate = await ServerCertificate.prepare(tmp_path, ["localhost"])
    first = await served_by(certificate)
    (tmp_path / "tls.crt").write_text("garbage")
    with pytest.raises(CertificateError, match="certificate in"):
        certificate.reload()
    assert await served_by(certificate) == first


async def test_without_openssl_and_without_files_the_error_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CertificateError, match="no openssl"):
        await ServerCertificate.prepare(tmp_path / "new", ["localhost"])


async def test_hosts_that_openssl_refuses_are_an_error_in_its_words(tmp_path):
    with pytest.raises(CertificateError, match="openssl made no certificate"):
        await make_self_signed(tmp_path, ["bad,,host=\n"])


async def test_without_a_directory_the_pair_is_private_and_goes_with_the_process(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with certificate_directory("") as private:
        await ServerCertificate.prepare(private, ["localhost"])
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        assert not private.is_relative_to(tmp_path)
        assert {each.name for each in private.iterdir()} == {"tls.crt", "tls.key"}
    assert not private.exists()
    assert not list(tmp_path.iterdir())


def test_a_directory_that_was_given_stays(tmp_path):
    with certificate_directory(str(tmp_path / "mine")) as given:
        assert given == tmp_path / "mine"
        given.mkdir()
    assert given.exists()
