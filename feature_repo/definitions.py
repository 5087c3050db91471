"""What `feast apply` and `feast plan` read: the only file here that `.feastignore` lets them."""

from feature_repo.views import build
from nearline.settings import load

_all = build(load().offline)

customer = _all.customer
item = _all.item
request = _all.request
customer_rows = _all.customer_rows
item_rows = _all.item_rows
customer_activity = _all.customer_activity
item_activity = _all.item_activity
customer_features = _all.customer_features
item_features = _all.item_features
customer_profile_v1 = _all.customer_profile_v1
item_profile_v1 = _all.item_profile_v1
