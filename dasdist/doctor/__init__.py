"""What is to be fixed at a site before a run: of the client, of its queue, of a cluster.

Checks are small functions that return a finding (`finding`); `site` calls them in order. Those of
workers ask all of them the same thing (`asking`) and judge the answers.
"""

from dasdist.doctor.finding import Finding, SiteReport
from dasdist.doctor.site import check_site, findings_here, findings_of_cluster

__all__ = ["Finding", "SiteReport", "check_site", "findings_here", "findings_of_cluster"]
