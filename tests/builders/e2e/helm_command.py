"""One Helm action in a process of its own: Helm's library has threads, which must not outlive a namespace.

In: a JSON object on standard input: `action`, `kubeconfig`, `namespace`, and the action's arguments. Out:
Helm's answer as JSON; exit 1 and a sentence where it failed.
"""

import json
import sys

import helm_python as helm


def main() -> None:
    """Read, act, answer."""
    asked = json.load(sys.stdin)
    action, arguments = asked["action"], asked.get("arguments", {})
    config = helm.Config(kubeconfig_path=asked["kubeconfig"], namespace=asked["namespace"])
    try:
        answer = getattr(config, action)(**arguments)
    except helm.HelmError as error:
        sys.exit(f"helm {action}: {error}")
    json.dump(answer, sys.stdout, default=str)


if __name__ == "__main__":
    main()
