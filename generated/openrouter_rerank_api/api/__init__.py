"""Contains methods for accessing the API"""

from .. import models as models
