"""What users need to test their own policies: views to build by hand, and the conformance kit.

    from mmesim.testing import check_policy
    report = check_policy(MyPolicy)
    assert report.ok, report
"""

from mmesim.testing.conformance import check_policy
from mmesim.testing.report import Check, Report, Status

__all__ = ["Check", "Report", "Status", "check_policy"]
