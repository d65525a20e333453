"""Does the chart refuse the settings that the operator would refuse, and take those that it takes?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python import HelmError

from chartlib import chart
from trainyard.settings import read_settings
from trainyard.settings.sources import BadSettings

Object = dict[str, Any]
LONG = "a" * 64

BAD: list[Object] = [
    # no value of that kind
    {"workers": "many"},
    {"workers": 0},
    {"workers": 257},
    {"metricsJobs": 100_001},
    {"metricsPods": "perhaps"},
    {"logFormat": "xml"},
    {"podSecurity": "strict"},
    {"leaseDuration": "soon"},
    {"apiTimeout": "30 seconds"},
    {"apiTimeout": ""},
    {"apiTimeout": "-1s"},
    {"apiTimeout": "1m-30s"},
    {"apiTimeout": "s"},
    # spans out of bounds, in every way of writing
    {"apiTimeout": 0.5},
    {"apiTimeout": "500ms"},
    {"apiTimeout": "0"},
    {"apiTimeout": 301},
    {"apiTimeout": "301"},
    {"apiTimeout": "10m"},
    {"apiTimeout": "5m1s"},
    {"apiTimeout": "4m 61s"},
    {"watchSilence": "0.2h"},
    {"stuckAfter": "29.9s"},
    {"holdTime": "1d"},
    {"backfillBound": -1},
    {"scheduleDebounce": "10001ms"},
    {"reportInterval": "99ms"},
    # the Lease's, together
    {"leaseDuration": "10s"},
    {"leaseDuration": "10.4s"},
    {"leaseDuration": "1m", "renewDeadline": "60s"},
    {"renewDeadline": "2s"},
    {"renewDeadline": 2.4},
    {"retryPeriod": "9s"},
    {"retryPeriod": 8.4},
    {"retryPeriod": 5, "renewDeadline": 5, "leaseDuration": 20},
    # names of labels, annotations and resources
    {"deviceBacked": "nvidia.com/gpu/x"},
    {"deviceBacked": "gpu one"},
    {"deviceBacked": ["nvidia.com/"]},
    {"inheritLabels": ["-a"]},
    {"inheritLabels": "good,Bad.Prefix/a"},
    {"inheritLabels": f"x/{LONG}"},
    {"inheritAnnotations": ["a", ""], "inheritLabels": ["a_"]},
    {"inheritAnnotations": [1]},
    # labels of nodes
    {"ownedNodes": "training"},
    {"ownedNodes": "pool=training,x"},
    {"ownedNodes": "pool=a b"},
    {"ownedNodes": "=training"},
    {"ownedNodes": {"pool": "a/b"}},
    {"ownedNodes": {"a b": "c"}},
    {"ownedNodes": {"pool": LONG}},
    # levels
    {"topologyLevels": "rack"},
    {"topologyLevels": "Rack=example.com/rack"},
    {"topologyLevels": "rack=example.com/"},
    {"topologyLevels": "rack=a/r,rack=b/r"},
    {"topologyLevels": "rack=a/r, host = a/r"},
    # ports
    {"hostPorts": "20000"},
    {"hostPorts": "80-8000"},
    {"hostPorts": "20000-70000"},
    {"hostPorts": "30000-20000"},
    {"hostPorts": "a-b"},
    # keys
    {"ownedNode": "pool=training"},
]
GOOD: list[Object] = [
    {"workers": 256, "metricsJobs": 0, "metricsPods": False, "logFormat": "console", "podSecurity": "baseline"},
    {"apiTimeout": 1, "watchSilence": "10m", "stuckAfter": "30s"},
    {"apiTimeout": "300", "watchSilence": "0.15h", "stuckAfter": "1d"},
    {"apiTimeout": "1m 30s", "avoidTime": "23h59m60s", "holdTime": 0, "backfillBound": "0"},
    {"scheduleDebounce": "30ms", "reportInterval": 0.1, "healthyRun": "1s"},
    {"leaseDuration": "1m", "renewDeadline": "40s", "retryPeriod": "500ms"},
    {"leaseDuration": 10.6, "renewDeadline": 10, "retryPeriod": "8.3s"},
    {
        "deviceBacked": "nvidia.com/gpu, rdma/hca_shared_devices_a,",
        "inheritLabels": ["team", "example.com/cost-centre"],
    },
    {"inheritAnnotations": [], "ownedNodes": {"pool": "training", "example.com/free": ""}},
    {"ownedNodes": "pool=training, example.com/zone = a.b_c"},
    {"ownedNodes": "", "topologyLevels": ""},
    {"topologyLevels": "zone=topology.kubernetes.io/zone, rack=example.com/rack,host=kubernetes.io/hostname"},
    {"hostPorts": "1024-65535"},
    {"hostPorts": "20000-20000"},
]


def settings_file(settings: Object) -> str:
    """What the chart hands to the operator."""
    found = [thing["data"] for thing in chart.objects({"settings": settings}) if thing["kind"] == "ConfigMap"]
    (text,) = [data["settings.yaml"] for data in found if "settings.yaml" in data]
    return str(text)


def read(text: str, folder: Path) -> Object:
    """What the operator makes of it."""
    path = folder / "settings.yaml"
    path.write_text(text)
    return read_settings({}, str(path)).model_dump()


@pytest.mark.parametrize("settings", BAD, ids=str)
def test_what_the_operator_refuses_the_chart_refuses(settings: Object, tmp_path: Path) -> None:
    with pytest.raises(BadSettings):
        read(yaml.safe_dump(settings), tmp_path)
    with pytest.raises(HelmError, match=r"settings"):
        chart.objects({"settings": settings})


@pytest.mark.parametrize("settings", GOOD, ids=str)
def test_what_the_operator_takes_it_gets_as_it_was_written(settings: Object, tmp_path: Path) -> None:
    assert read(settings_file(settings), tmp_path) == read(yaml.safe_dump(settings), tmp_path)


def test_levels_keep_their_order(tmp_path: Path) -> None:
    levels = "rack=example.com/rack,host=kubernetes.io/hostname"
    given = read(settings_file({"topologyLevels": levels}), tmp_path)
    assert [level for level, _ in given["topology_levels"]] == ["rack", "host"]


@pytest.mark.parametrize("value", [True, 1])
def test_labels_are_texts(value: object) -> None:
    """YAML's `true` would be the label True, which no node carries."""
    with pytest.raises(HelmError, match="ownedNodes"):
        chart.objects({"settings": {"ownedNodes": {"gpu": value}}})
