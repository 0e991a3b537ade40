"""What those who run the service see of it: log lines, metrics, the audit trail. Nothing of a patient is in any."""
