"""Names of countries and of North American states → the two-letter codes that user data uses.

Country codes are ISO 3166-1 (alpha-2 and alpha-3), plus `xk` for Kosovo, which is user-assigned but
in general use. Names are compared by letters and digits alone, without case and accents.
"""

from __future__ import annotations

import re
import unicodedata

# Alpha-2, alpha-3, then the English name and what else shops call the country, set apart by ";".
_COUNTRIES = """
ad and Andorra
ae are United Arab Emirates; UAE; Emirates
af afg Afghanistan
ag atg Antigua and Barbuda
ai aia Anguilla
al alb Albania; Shqipëria
am arm Armenia
ao ago Angola
aq ata Antarctica
ar arg Argentina
as asm American Samoa
at aut Austria; Österreich; Oesterreich; Autriche
au aus Australia
aw abw Aruba
ax ala Åland Islands; Aland
az aze Azerbaijan; Azərbaycan
ba bih Bosnia and Herzegovina; Bosnia; Bosna i Hercegovina
bb brb Barbados
bd bgd Bangladesh
be bel Belgium; België; Belgique; Belgien
bf bfa Burkina Faso
bg bgr Bulgaria; България
bh bhr Bahrain
bi bdi Burundi
bj ben Benin
bl blm Saint Barthélemy; St. Barthélemy; Saint Barts
bm bmu Bermuda
bn brn Brunei Darussalam; Brunei
bo bol Bolivia; Bolivia, Plurinational State of
bq bes Bonaire, Sint Eustatius and Saba; Caribbean Netherlands; Bonaire
br bra Brazil; Brasil
bs bhs Bahamas; The Bahamas
bt btn Bhutan
bv bvt Bouvet Island
bw bwa Botswana
by blr Belarus; Беларусь
bz blz Belize
ca can Canada
cc cck Cocos (Keeling) Islands; Cocos Islands
cd cod Congo, The Democratic Republic of the; DR Congo; DRC; Congo Kinshasa
cf caf Central African Republic
cg cog Congo; Republic of the Congo; Congo Brazzaville
ch che Switzerland; Schweiz; Suisse; Svizzera
ci civ Côte d'Ivoire; Ivory Coast
ck cok Cook Islands
cl chl Chile
cm cmr Cameroon; Cameroun
cn chn China; People's Republic of China; PRC; Mainland China; 中国
co col Colombia
cr cri Costa Rica
cu cub Cuba
cv cpv Cabo Verde; Cape Verde
cw cuw Curaçao
cx cxr Christmas Island
cy cyp Cyprus; Κύπρος
cz cze Czechia; Czech Republic; Česko; Česká republika
de deu Germany; Deutschland; Federal Republic of Germany; Allemagne; Alemania; Germania
dj dji Djibouti
dk dnk Denmark; Danmark; Dänemark
dm dma Dominica
do dom Dominican Republic; República Dominicana
dz dza Algeria; Algérie
ec ecu Ecuador
ee est Estonia; Eesti
eg egy Egypt; مصر
eh esh Western Sahara
er eri Eritrea
es esp Spain; España; Spanien; Espagne
et eth Ethiopia
fi fin Finland; Suomi
fj fji Fiji
fk flk Falkland Islands (Malvinas); Falkland Islands
fm fsm Micronesia, Federated States of; Federated States of Micronesia; Micronesia
fo fro Faroe Islands; Føroyar
fr fra France; Frankreich; Francia
ga gab Gabon
gb gbr United Kingdom; UK; Great Britain; Britain; England; Scotland; Wales; Northern Ireland; \
United Kingdom of Great Britain and Northern Ireland; Royaume-Uni; Großbritannien
gd grd Grenada
ge geo Georgia
gf guf French Guiana
gg ggy Guernsey
gh gha Ghana
gi gib Gibraltar
gl grl Greenland
gm gmb Gambia; The Gambia
gn gin Guinea
gp glp Guadeloupe
gq gnq Equatorial Guinea
gr grc Greece; EL; Ελλάδα; Hellas; Griechenland
gs sgs South Georgia and the South Sandwich Islands
gt gtm Guatemala
gu gum Guam
gw gnb Guinea-Bissau
gy guy Guyana
hk hkg Hong Kong; Hong Kong SAR; 香港
hm hmd Heard Island and McDonald Islands
hn hnd Honduras
hr hrv Croatia; Hrvatska; Kroatien
ht hti Haiti
hu hun Hungary; Magyarország; Ungarn
id idn Indonesia
ie irl Ireland; Republic of Ireland; Éire
il isr Israel; ישראל
im imn Isle of Man
in ind India; Bharat; भारत
io iot British Indian Ocean Territory
iq irq Iraq
ir irn Iran; Iran, Islamic Republic of
is isl Iceland; Ísland
it ita Italy; Italia; Italien; Italie
je jey Jersey
jm jam Jamaica
jo jor Jordan
jp jpn Japan; 日本
ke ken Kenya
kg kgz Kyrgyzstan
kh khm Cambodia
ki kir Kiribati
km com Comoros
kn kna Saint Kitts and Nevis; St. Kitts and Nevis
kp prk North Korea; Korea, Democratic People's Republic of
kr kor South Korea; Korea, Republic of; Republic of Korea; Korea; 대한민국; 한국
kw kwt Kuwait
ky cym Cayman Islands
kz kaz Kazakhstan; Казахстан
la lao Laos; Lao People's Democratic Republic
lb lbn Lebanon
lc lca Saint Lucia; St. Lucia
li lie Liechtenstein
lk lka Sri Lanka
lr lbr Liberia
ls lso Lesotho
lt ltu Lithuania; Lietuva
lu lux Luxembourg; Luxemburg
lv lva Latvia; Latvija
ly lby Libya
ma mar Morocco; Maroc
mc mco Monaco
md mda Moldova; Moldova, Republic of
me mne Montenegro; Crna Gora
mf maf Saint Martin (French part); Saint Martin; St. Martin
mg mdg Madagascar
mh mhl Marshall Islands
mk mkd North Macedonia; Macedonia
ml mli Mali
mm mmr Myanmar; Burma
mn mng Mongolia
mo mac Macao; Macau; 澳門
mp mnp Northern Mariana Islands
mq mtq Martinique
mr mrt Mauritania
ms msr Montserrat
mt mlt Malta
mu mus Mauritius
mv mdv Maldives
mw mwi Malawi
mx mex Mexico; México
my mys Malaysia
mz moz Mozambique; Moçambique
na nam Namibia
nc ncl New Caledonia
ne ner Niger
nf nfk Norfolk Island
ng nga Nigeria
ni nic Nicaragua
nl nld Netherlands; The Netherlands; Holland; Nederland; Niederlande; Pays-Bas
no nor Norway; Norge; Noreg; Norwegen
np npl Nepal
nr nru Nauru
nu niu Niue
nz nzl New Zealand; Aotearoa
om omn Oman
pa pan Panama
pe per Peru; Perú
pf pyf French Polynesia
pg png Papua New Guinea
ph phl Philippines; The Philippines; Pilipinas
pk pak Pakistan
pl pol Poland; Polska; Polen
pm spm Saint Pierre and Miquelon; St. Pierre and Miquelon
pn pcn Pitcairn; Pitcairn Islands
pr pri Puerto Rico
ps pse Palestine; Palestine, State of; State of Palestine; Palestinian Territories
pt prt Portugal
pw plw Palau
py pry Paraguay
qa qat Qatar
re reu Réunion
ro rou Romania; România
rs srb Serbia; Srbija; Србија
ru rus Russian Federation; Russia; Россия
rw rwa Rwanda
sa sau Saudi Arabia; KSA; السعودية
sb slb Solomon Islands
sc syc Seychelles
sd sdn Sudan
se swe Sweden; Sverige; Schweden
sg sgp Singapore
sh shn Saint Helena, Ascension and Tristan da Cunha; Saint Helena; St. Helena
si svn Slovenia; Slovenija
sj sjm Svalbard and Jan Mayen
sk svk Slovakia; Slovak Republic; Slovensko
sl sle Sierra Leone
sm smr San Marino
sn sen Senegal; Sénégal
so som Somalia
sr sur Suriname
ss ssd South Sudan
st stp Sao Tome and Principe
sv slv El Salvador
sx sxm Sint Maarten (Dutch part); Sint Maarten
sy syr Syria; Syrian Arab Republic
sz swz Eswatini; Swaziland
tc tca Turks and Caicos Islands; Turks and Caicos
td tcd Chad
tf atf French Southern Territories
tg tgo Togo
th tha Thailand; ประเทศไทย
tj tjk Tajikistan
tk tkl Tokelau
tl tls Timor-Leste; East Timor
tm tkm Turkmenistan
tn tun Tunisia; Tunisie
to ton Tonga
tr tur Türkiye; Turkey; Türkei
tt tto Trinidad and Tobago; Trinidad
tv tuv Tuvalu
tw twn Taiwan; Taiwan, Province of China; 台灣; 臺灣
tz tza Tanzania; Tanzania, United Republic of
ua ukr Ukraine; Україна
ug uga Uganda
um umi United States Minor Outlying Islands
us usa United States; United States of America; The United States; The United States of America; \
America; Estados Unidos; États-Unis; Vereinigte Staaten; Stati Uniti
uy ury Uruguay
uz uzb Uzbekistan
va vat Holy See (Vatican City State); Holy See; Vatican; Vatican City
vc vct Saint Vincent and the Grenadines; St. Vincent and the Grenadines
ve ven Venezuela; Venezuela, Bolivarian Republic of
vg vgb Virgin Islands, British; British Virgin Islands
vi vir Virgin Islands, U.S.; U.S. Virgin Islands; United States Virgin Islands
vn vnm Viet Nam; Vietnam; Việt Nam
vu vut Vanuatu
wf wlf Wallis and Futuna
ws wsm Samoa
xk xkx Kosovo
ye yem Yemen
yt myt Mayotte
za zaf South Africa; Suid-Afrika
zm zmb Zambia
zw zwe Zimbabwe
"""

# Postal codes of the United States (with territories and forces' post) and of Canada.
_STATES = """
al Alabama; ak Alaska; az Arizona; ar Arkansas; ca California; co Colorado; ct Connecticut;
de Delaware; dc District of Columbia; dc Washington DC; fl Florida; ga Georgia; hi Hawaii; id Idaho;
il Illinois; in Indiana; ia Iowa; ks Kansas; ky Kentucky; la Louisiana; me Maine; md Maryland;
ma Massachusetts; mi Michigan; mn Minnesota; ms Mississippi; mo Missouri; mt Montana; ne Nebraska;
nv Nevada; nh New Hampshire; nj New Jersey; nm New Mexico; ny New York; ny New York State;
nc North Carolina; nd North Dakota; oh Ohio; ok Oklahoma; or Oregon; pa Pennsylvania;
ri Rhode Island; sc South Carolina; sd South Dakota; tn Tennessee; tx Texas; ut Utah; vt Vermont;
va Virginia; wa Washington; wa Washington State; wv West Virginia; wi Wisconsin; wy Wyoming;
as American Samoa; gu Guam; mp Northern Mariana Islands; pr Puerto Rico; vi U.S. Virgin Islands;
vi Virgin Islands; aa Armed Forces Americas; ae Armed Forces Europe; ap Armed Forces Pacific;
ab Alberta; bc British Columbia; bc Colombie-Britannique; mb Manitoba; nb New Brunswick;
nb Nouveau-Brunswick; nl Newfoundland and Labrador; nl Newfoundland; nl Terre-Neuve-et-Labrador;
ns Nova Scotia; ns Nouvelle-Écosse; nt Northwest Territories; nt Territoires du Nord-Ouest;
nu Nunavut; on Ontario; pe Prince Edward Island; pe Île-du-Prince-Édouard; qc Québec;
sk Saskatchewan; yt Yukon; yt Yukon Territory
"""

_OUTSIDE_ASCII_KEY = re.compile(r"[^a-z0-9]+")


def _fold(text: str) -> str:
    text = text.lower().replace("&", "and")
    if text.isascii():
        return _OUTSIDE_ASCII_KEY.sub("", text)
    return "".join([c for c in unicodedata.normalize("NFKD", text) if c.isalnum()]).lower()


def _read_countries() -> dict[str, str]:
    codes = {}
    for line in _COUNTRIES.strip().splitlines():
        alpha_2, alpha_3, names = line.split(" ", 2)
        for name in (alpha_2, alpha_3, *names.split(";")):
            codes[_fold(name)] = alpha_2
    return codes


def _read_states() -> dict[str, str]:
    entries = (entry.split(None, 1) for entry in _STATES.split(";"))
    return {_fold(name): code for code, name in entries}


_COUNTRY_CODES = _read_countries()
_STATE_CODES = _read_states()


def country_code(text: str) -> str | None:
    """ISO 3166-1 alpha-2 code, lower case, of a country's name or code; None if unknown.

    >>> country_code("U.S.A."), country_code("Deutschland"), country_code("UK")
    ('us', 'de', 'gb')
    """
    return _COUNTRY_CODES.get(text.lower()) or _COUNTRY_CODES.get(_fold(text))


def state_code(text: str) -> str | None:
    """Two-letter postal code, lower case, of a United States or Canadian state's full name.

    >>> state_code("California"), state_code("Québec"), state_code("Bavaria")
    ('ca', 'qc', None)
    """
    return _STATE_CODES.get(_fold(text))
