"""The ways of saying something about a named thing: the patterns of a predicate, each with what makes statements of it."""

import re

from learning_ops.offline.entity_claims import (
    Maker,
    acquired,
    adopted,
    based,
    counted,
    founded,
    founded_by,
    happened,
    has_role,
    hired,
    industry,
    is_a,
    joined,
    left,
    lives,
    plain_fact,
    promoted,
    released,
    relocated,
    stopped,
    switched,
    tied,
    uses,
    was_acquired,
    was_hired,
    works,
)
from learning_ops.offline.names import NAME

ROLE = r"(?:[a-zA-Z][\w/-]*\s+){0,3}?[a-zA-Z][\w/-]*(?:\s+of\s+[a-z]+)?"
_TIES = (
    r"customer|client|partner|supplier|vendor|competitor|rival|subsidiary|division|investor|shareholder|reseller|distributor"
    r"|sponsor|member|parent\s+company|part|owner|spin-?off|predecessor|successor|fork|component"
)
_AS = r"(?:\s+as\s+(?:(?:an?|the|its|their)\s+)?(?:new\s+)?(?P<role>" + ROLE + r"))?"
_O = rf"(?P<o>(?:the\s+)?{NAME})"
_MANY = rf"(?P<o>{NAME}(?:(?:,\s+(?:and\s+)?|\s+and\s+){NAME})*)"
_SOURCES: tuple[tuple[str, Maker], ...] = (
    (rf"(?:hired|recruited|appointed)\s+(?P<o>.+?){_AS}", hired),
    (rf"(?:was|were|got)\s+(?:hired|recruited)\s+by\s+{_O}{_AS}", was_hired),
    (rf"(?:acquired|took\s+over|bought)\s+{_O}(?:\s+for\s+.+)?", acquired),
    (rf"(?:was|were|got)\s+(?:acquired|bought|taken\s+over)\s+by\s+{_O}(?:\s+for\s+.+)?", was_acquired),
    (rf"(?:migrated|switched|moved|transitioned|converted)(?:\s+over)?(?:\s+from\s+(?P<old>{NAME}))?\s+to\s+{_O}", switched),
    (rf"replaced\s+(?P<old>{NAME})\s+(?:with|by)\s+{_O}", switched),
    (rf"(?:adopted|rolled\s+out|started\s+using|began\s+using)\s+{_MANY}(?:\s+(?:for|as|to|in)\s.+)?", adopted),
    (r"(?:uses|relies\s+on|is\s+using|depends\s+on)\s+(?P<o>.+)", uses),
    (rf"(?:no\s+longer\s+uses|stopped\s+using|dropped|abandoned|retired|phased\s+out)\s+{_MANY}", stopped),
    (rf"is\s+(?:based|headquartered|located)\s+in\s+{_O}(?:,\s+{NAME})?", based),
    (rf"(?:has|keeps)\s+its\s+(?:headquarters|head\s+office|HQ)\s+in\s+{_O}", based),
    (rf"(?:relocated|moved\s+its\s+(?:headquarters|head\s+office|HQ|offices?))(?:\s+from\s+{NAME})?\s+to\s+{_O}", relocated),
    (rf"(?:lives|resides|is\s+living)\s+in\s+{_O}", lives),
    (r"is\s+(?:written|implemented|programmed)\s+in\s+\S.*|is\s+built\s+(?:with|on|in)\s+\S.*", plain_fact("product")),
    (r"runs\s+on\s+\S.*", plain_fact("product")),
    (r"(?:sells|makes|builds|develops|offers|manufactures|produces|designs)\s+\S.*", plain_fact("company")),
    (r"(?:operates|supports|provides)\s+\S.*", plain_fact("company")),
    (rf"(?:works|is\s+working|is\s+employed)\s+(?:at|for|by|with)\s+{_O}{_AS}", works),
    (rf"(?:works|is\s+working)\s+as\s+(?:an?\s+|the\s+)?(?P<role>{ROLE})\s+(?:at|for|with)\s+{_O}", has_role),
    (rf"(?:is|became|was\s+(?:named|appointed))\s+(?:(?:an?|the)\s+)?(?:new\s+)?(?P<role>{ROLE})\s+(?:of|at|for)\s+{_O}", has_role),
    (rf"is\s+{_O}(?:'s|')\s+(?:new\s+)?(?P<role>{ROLE})", has_role),
    (rf"(?:joined|started\s+at)\s+{_O}{_AS}", joined),
    (rf"(?:left|quit|resigned\s+from|retired\s+from)\s+{_O}", left),
    (rf"(?:was|got)\s+promoted\s+to\s+(?P<role>{ROLE})(?:\s+(?:at|of)\s+{_O})?", promoted),
    (rf"(?:was|were)\s+(?:co-?)?(?:founded|established|started|incorporated)(?:\s+by\s+{_MANY})?", founded_by),
    (rf"(?:co-?founded|founded)\s+{_O}", founded),
    (rf"(?:launched|released|unveiled|introduced|shipped)\s+{_MANY}(?:\s+(?:for|in|on|to)\s.+)?", released),
    (r"(?:shipped|delivered|launched|released|introduced)\s+\S.*", happened("company")),
    (r"launched|started|ended|went\s+live", happened("project")),
    (r"was\s+(?:launched|released|cancell?ed|completed|delayed|shut\s+down|shipped|paused)", happened("project")),
    (r"(?:raised|laid\s+off|opened|closed|filed\s+for|signed|won|lost)\s+\S.*", happened("company")),
    (r"(?:announced|published|settled|recalled|cut)\s+\S.*", happened("company")),
    (r"(?:went\s+(?:public|bankrupt)|shut\s+down|ceased\s+operations|doubled\s+\S.*|rebranded(?:\s+\S.*)?)", happened("company")),
    (rf"merged\s+with\s+{_O}", tied("merged with", event=True)),
    (rf"(?:partnered|teamed\s+up)\s+with\s+{_O}", tied("partner of", event=True)),
    (rf"is\s+(?:an?\s+|the\s+)?(?:\w+\s+)?(?P<tie>{_TIES})\s+(?:of|to)\s+{_O}", tied("")),
    (rf"(?:competes)\s+with\s+{_O}", tied("competitor of")),
    (rf"(?:owns)\s+{_O}", tied("owner of")),
    (rf"reports\s+to\s+{_O}", tied("reports to", ("person", "person"))),
    (rf"is\s+married\s+to\s+{_O}", tied("married to", ("person", "person"))),
    (rf"(?:leads|manages|is\s+leading|is\s+managing)\s+{_O}", tied("leads", ("person", "project"))),
    (rf"(?:runs|heads)\s+{_O}", tied("leads", ("person", "company"))),
    (
        (
            r"(?:has|employs)\s+(?:about\s+|around\s+|over\s+|nearly\s+)?(?P<n>\d[\d,.]*(?:\s+million)?)\s+"
            r"(?P<of>employees|people|staff|offices|customers|users|stores|branches|members)(?:\s+in\s.+)?"
        ),
        counted,
    ),
    (r"is\s+in\s+the\s+(?P<v>[a-z][a-z -]*?)\s+(?:industry|sector|business)", industry),
    (r"is\s+(?:an?|the|one\s+of\s+the)\s+(?P<d>\S.*)", is_a),
)  # fmt: skip
PREDICATES = tuple((re.compile(source), made) for source, made in _SOURCES)
