"""A certificate for the operator's webhook in the sandbox, made with the machine's openssl.

In: a directory. Out: `tls.crt` and `tls.key` in it and the text to trust, or None where there is no
openssl: then the run goes without admission and says so.
"""

import base64
import shutil
import subprocess
from pathlib import Path
from typing import Any

_SECONDS = 20


def make_certificate(directory: Path) -> str | None:
    """Write a self-signed certificate for 127.0.0.1; returns its PEM."""
    openssl = shutil.which("openssl")
    if openssl is None:
        return None
    certificate, key = directory / "tls.crt", directory / "tls.key"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=plimsoll-sandbox", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=_SECONDS)  # noqa: S603
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    return certificate.read_text()


def webhook_configuration(port: int, certificate: str, path: str, namespace: str) -> dict[str, Any]:
    """The MutatingWebhookConfiguration as the chart would install it, but for its address."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "plimsoll"},
        "webhooks": [
            {
                "name": "pods.plimsoll.dev",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": "Ignore",
                "timeoutSeconds": 2,
                "clientConfig": {
                    "url": f"https://127.0.0.1:{port}/{path}",
                    "caBundle": base64.b64encode(certificate.encode()).decode(),
                },
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "rules": [
                    {
                        "operations": ["CREATE"],
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "resources": ["pods"],
                    }
                ],
            }
        ],
    }
