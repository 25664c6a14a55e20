"""One job of the demo: compress a file and write the checksum of what went in beside it."""

import gzip
import hashlib
import os
import sys

source, target = sys.argv[1:]
with open(source, "rb") as file:
    content = file.read()
packed = gzip.compress(content, 9, mtime=0)
for suffix, text in ((".gz", packed), (".sha256", hashlib.sha256(content).hexdigest().encode())):
    with open(target + suffix + ".new", "wb") as file:
        file.write(text)
    os.replace(target + suffix + ".new", target + suffix)
print(f"{os.path.basename(source)}: {len(content):,} bytes, {len(packed):,} packed, {len(packed) / max(1, len(content)):.0%}")
