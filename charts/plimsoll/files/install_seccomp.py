"""Put a seccomp profile where the kubelet looks: install_seccomp.py SOURCE TARGET, whole or not at all."""

import json
import os
import pathlib
import sys

source, target = (pathlib.Path(each) for each in sys.argv[-2:])
text = source.read_text()
json.loads(text)
target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
fresh = target.with_name(f".{target.name}.{os.getpid()}")
fresh.write_text(text)
fresh.chmod(0o644)
fresh.replace(target)
print(f"{target}: {len(text)} bytes")
