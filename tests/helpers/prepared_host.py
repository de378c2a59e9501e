"""A real lab machine that has all it needs, in host.sh's words: what differs is each test's own."""

import equipment
from lab import host

VERSIONS = {"libvirt-daemon-system": "9.0.0-4+deb12u2", "qemu-system-x86": "1:7.2+dfsg-7+deb12u18"}
PREPARED = [
    "root|0",
    "architecture|x86_64",
    "system|debian|12",
    *(f"package|{name}|{VERSIONS.get(name, '99')}" for name in equipment.HOST_PACKAGES),
    *(f"unit|{name}|active" for name in equipment.HOST_UNITS),
    "kvm|svm|yes|1",
    f"pages|{host.LEAST_PAGES}",
    *(f"file|{path}|{sha256}" for path, sha256 in host.sums().items()),
    "virtualbmc|yes",
    "heeded|yes",
    "scan_lvs|0",
]
