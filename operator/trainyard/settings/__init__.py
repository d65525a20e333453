"""The operator's settings: one typed object, read from flags, environment and file.

Outside the layers: it may build the settings of any room, and no room reads it.
"""

from trainyard.settings.model import LogFormat, LogLevel, MetricsAuth, Settings
from trainyard.settings.sources import BadSettings, read_settings, settings_or_exit

__all__ = ["BadSettings", "LogFormat", "LogLevel", "MetricsAuth", "Settings", "read_settings", "settings_or_exit"]
