"""Turning telemetry on: everything else of this package needs the extra `otel`, and is imported from here."""

from typing import TYPE_CHECKING

from corpus.errors import SettingsError
from corpus.settings import Settings

if TYPE_CHECKING:
    from rag_service.telemetry.collector import Telemetry


def open_telemetry(settings: Settings) -> "Telemetry | None":
    """Begin to send spans to the collector of the settings; None: they name none, and nothing is imported.

    Raises:
        SettingsError: the extra is not installed.
    """
    if not settings.otel_exporter_otlp_endpoint:
        return None
    check_telemetry(settings)
    from rag_service.telemetry.collector import Telemetry  # noqa: PLC0415 - see above

    return Telemetry(settings.otel_exporter_otlp_endpoint)


def check_telemetry(settings: Settings) -> None:
    """See whether what the setting needs is there, and start nothing.

    Raises:
        SettingsError: the extra is not installed.
    """
    if not settings.otel_exporter_otlp_endpoint:
        return
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter  # noqa: PLC0415 - see above
        import opentelemetry.sdk.trace  # noqa: F401, PLC0415 - see above
    except ModuleNotFoundError as error:
        raise SettingsError(
            "RAG_OTEL_EXPORTER_OTLP_ENDPOINT needs the extra `otel`: install it with "
            "`pip install 'rag-service[otel]'`, or remove the setting."
        ) from error
