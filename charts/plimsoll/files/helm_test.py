"""`helm test`: helm_test.py HOST METRICS_PORT [WEBHOOK_PORT CA_FILE]; exits 1 and says what is wrong.

Is the operator ready, does its webhook answer with the certificate that is registered? Asked from outside,
over the Service, as Prometheus and the API server do. CA_FILE `-`: the authority's PEM is in the environment,
WEBHOOK_CA. Where there is no CA_FILE (some issuers of cert-manager put none into the Secret) the certificate
is not verified, and without a webhook none is asked: the test says so.
"""

import json
import os
import pathlib
import ssl
import sys
import urllib.request

host, port, *webhook = sys.argv[1:]
CONTAINER = {"name": "app", "image": "app"}
REVIEW = {
    "apiVersion": "admission.k8s.io/v1",
    "kind": "AdmissionReview",
    "request": {
        "uid": "helm-test",
        "operation": "CREATE",
        "namespace": "default",
        "object": {"metadata": {"name": "helm-test"}, "spec": {"containers": [CONTAINER]}},
    },
}
UNVERIFIED = (
    "but its certificate was NOT VERIFIED, for the Secret has no ca.crt: "
    "the API server asks it only if it trusts the issuer by itself, or the registration has a caBundle"
)


def ask(url: str, body: object = None, context: ssl.SSLContext | None = None) -> str:
    """The answer's text; raises OSError."""
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10, context=context) as answer:
        return answer.read().decode()


try:
    print("readyz:", ask(f"http://{host}:{port}/readyz").strip())
    if "plimsoll_build_info" not in ask(f"http://{host}:{port}/metrics"):
        sys.exit("metrics: plimsoll_build_info is missing")
    print("metrics: served")
    if webhook:
        webhook_port, authority = webhook
        given = os.environ["WEBHOOK_CA"] if authority == "-" else None
        file = authority if pathlib.Path(authority).exists() else None
        known = bool(given or file)
        context = ssl.create_default_context(cafile=file, cadata=given)
        if not known:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        answer = json.loads(ask(f"https://{host}:{webhook_port}/mutate-pods", REVIEW, context))
        if answer["response"] != {"uid": "helm-test", "allowed": True}:
            sys.exit(f"webhook: a pod without a policy was not left alone: {answer}")
        print("webhook: answers,", "with the certificate that is registered" if known else UNVERIFIED)
    else:
        print("webhook: NOT ASKED, for none is registered (webhook.enabled is false)")
except OSError as error:
    sys.exit(f"{host}: {error}")
