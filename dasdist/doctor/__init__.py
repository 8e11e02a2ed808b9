"""Find what must be fixed before a run: on this machine, in its queue, on a cluster.

Checks are small functions that return a finding (`finding`); `site` calls them in order. Those of
workers ask all of them the same thing (`asking`) and judge the answers.
"""

from dasdist.doctor.finding import Finding, SiteReport
from dasdist.doctor.site import check_site, findings_here, findings_of_cluster

__all__ = ["Finding", "SiteReport", "check_site", "findings_here", "findings_of_cluster"]
