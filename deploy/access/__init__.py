"""Everything that a school holds about one student, for that student or a guardian."""

from fedtrace.deploy.access.collect import Everything, everything_about
from fedtrace.deploy.access.package import write_package

__all__ = ["Everything", "everything_about", "write_package"]
