"""The filter sandbox: a service has every option, except where its role says another value or none."""

import pytest
from sandbox import SANDBOX, sandbox


def test_a_service_without_differences_has_all_options():
    lines = sandbox({})
    assert "NoNewPrivileges=yes" in lines and "CapabilityBoundingSet=" in lines
    assert [line.partition("=")[0] for line in lines] == list(SANDBOX)


@pytest.mark.parametrize(
    ("differences", "has", "lacks"),
    [
        ({"ProtectHome": "read-only"}, "ProtectHome=read-only", "ProtectHome=yes"),
        ({"PrivateTmp": None}, "PrivateDevices=yes", "PrivateTmp=yes"),
        ({"MemoryDenyWriteExecute": "yes"}, "MemoryDenyWriteExecute=yes", "MemoryDenyWriteExecute=no"),
    ],
)
def test_a_role_says_what_differs(differences, has, lacks):
    lines = sandbox(differences)
    assert has in lines and lacks not in lines
