"""Unpacks the members of wheels that a native build needs. usage: unpack.py TARGET WHEEL...

From TensorFlow: its two libraries and the headers of its C interface. From NVIDIA's: every library, where TensorFlow's run path looks.
"""
import os
import re
import shutil
import sys
import zipfile

KEEP = re.compile(
    r'^tensorflow/libtensorflow_(cc|framework)\.so\.2$'
    r'|^tensorflow/include/(tensorflow/c/|tensorflow/core/platform/ctstring|tsl/platform/ctstring|xla/tsl/c/).*\.h$'
    r'|^nvidia/[a-z0-9_]+/lib/[^/]+\.so[^/]*$'
)

target = sys.argv[1]
for wheel in sys.argv[2:]:
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            name = member.filename
            if not KEEP.search(name) or '..' in name.split('/'):
                continue
            path = os.path.join(target, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with archive.open(member) as source, open(path, 'wb') as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
    os.remove(wheel)
