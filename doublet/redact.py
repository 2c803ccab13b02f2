"""Raw personal data never reaches disk: it is taken out of URLs, texts and custom data here.

Two things go: the values of a closed list of key names, also where name and value stand side by
side ({"name": "phone", "value": …}), and whatever is shaped like an e-mail address. Bare digits,
click ids, campaign parameters, order ids and content ids always stay.
Pure functions that never raise on any text and return the same object when nothing was removed.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote

REMOVED = "_removed_"

_OWNERS = """
billing shipping delivery customer client user contact buyer guest recipient member lead subscriber
your
"""
_OWNED = """
email emailaddress mail phone phonenumber mobile tel telephone fax name firstname lastname fullname
surname address address1 address2 addressline1 addressline2 street zip zipcode postcode postalcode
birthdate birthday dob password token
"""
# `name` and `fax` are personal only with an owner; on their own they name a product or a machine.
_ALONE = """
email emailaddress emailaddr emails email1 email2 emailconfirm emailconfirmation confirmemail
accountemail businessemail workemail personalemail kemail mail mailaddress em
phone phones phone1 phone2 phonenumber phoneno telephone telephonenumber tel telno mobile
mobilephone mobilenumber mobileno cellphone homephone workphone accountphone whatsapp msisdn ph
firstname middlename lastname fullname givenname familyname surname forename maidenname fname lname
fn ln username login userlogin loginname
address address1 address2 address3 addressline1 addressline2 addr addr1 addr2 street street1 street2
streetaddress streetname streetnumber housenumber homeaddress zip zipcode postcode postalcode zp
birthdate birthday birthyear birthmonth dateofbirth dob bday
password passwd pwd pass passphrase passcode newpassword oldpassword currentpassword
confirmpassword passwordconfirm passwordconfirmation pin pincode otp totp mfacode
token accesstoken refreshtoken idtoken authtoken authenticitytoken sessiontoken logintoken
resettoken passwordresettoken confirmationtoken verificationtoken invitetoken magictoken
unsubscribetoken paymenttoken cardtoken bearertoken csrftoken xsrftoken csrfmiddlewaretoken csrf
xsrf auth authorization authkey authcode oauthtoken oauthverifier bearer jwt samlresponse apikey
apitoken apisecret secret secretkey clientsecret privatekey credential credentials
session sessionid sessid sid phpsessid jsessionid aspsessionid aspnetsessionid cfid cftoken
ssn socialsecurity socialsecuritynumber nationalid nationalidnumber nationalinsurance
nationalinsurancenumber taxid taxpayerid personalnumber passport passportnumber passportno
driverlicense driverslicense driverlicensenumber idcard idcardnumber idnumber cpf dni nif
iban bankaccount bankaccountnumber accountnumber routingnumber sortcode
cardnumber cardno creditcard creditcardnumber ccnumber ccnum ccno debitcard debitcardnumber
cvv cvv2 cvc cvc2 csc securitycode cardcode cardexpiry cardexp cardholder cardholdername nameoncard
telefon telefonnummer handynummer mobilnummer vorname nachname passwort kennwort geburtsdatum
geburtstag strasse straße anschrift adresse hausnummer plz postleitzahl kontonummer kreditkarte
courriel prenom prénom téléphone nomdefamille motdepasse datenaissance datedenaissance codepostal
correo correoelectronico telefono teléfono movil celular apellido apellidos contrasena contraseña
direccion dirección fechanacimiento fechadenacimiento codigopostal cognome indirizzo cellulare
datadinascita telefone sobrenome senha endereco datanascimento datadenascimento cep
voornaam achternaam telefoonnummer wachtwoord geboortedatum emailadres straat ke klemail
"""

SENSITIVE_KEYS: frozenset[str] = frozenset(
    _ALONE.split() + [owner + name for owner in _OWNERS.split() for name in _OWNED.split()]
)
"""Key names whose values are removed, in lower case without `-`, `_` and spaces."""

KEEP, REMOVE, RENAME, PAIRED = 0, 1, 2, 3

# A form's fields often come as a list of pairs: {"name": "phone", "value": …}.
_PAIR_NAMES = frozenset("name key field label Name Key Field Label".split())
_PAIR_VALUES = frozenset("value values Value Values".split())
_LABEL_SIGNS = " *:?"

_KEY_JOINTS = re.compile(r"[-_+\s]+")
_KEY_PARTS = re.compile(r"[\[\].]+")
_KEY_LENGTH_READ_MAX = 100
_KEY_LENGTH_KEPT_MAX = 64
_KEYS_KEPT_MAX = 4096

# The sign @ as browsers, escape() of old scripts, pages and JSON write it, percent-encoded any
# number of times; also in its full-width and small form (U+FF20, U+FE6B).
_WIDE = r"EF%(?:25)*(?:BC%(?:25)*A0|B9%(?:25)*AB)"
_AT = (
    rf"(?:[@\uFF20\uFE6B]|%(?:25)*(?:40|u(?:0040|FF20|FE6B)|{_WIDE})"
    r"|(?:&|%(?:25)*26)(?:#|%(?:25)*23)(?:0*64|x0*40)(?:;|%(?:25)*3B)?"
    r"|(?:\\|%(?:25)*5C)u(?:0040|FF20|FE6B))"
)
_BEYOND_ASCII = rf"%(?:25)*(?!{_WIDE})(?:[89A-F][0-9A-F]|u(?!0040|FF20|FE6B)[0-9A-F]{{4}})"
# One character of an address's local part, plain or percent-encoded (+ - . _ and UTF-8 bytes).
_LOCAL = rf"(?:[\w.+'~-]|%(?:25)*(?:2[BDE]|5F)|{_BEYOND_ASCII})"
_HOST = rf"(?:[\w-]|{_BEYOND_ASCII})"
_DOT = r"(?:\.|%(?:25)*2E)"
_AT_DOMAIN = (
    # Shops name images for sharp screens `shoe@2x.png`.
    _AT + r"(?![1-9](?:\.[0-9])?x\.(?:png|jpe?g|gif|webp|avif|svg))"
    rf"(?=(?:{_HOST}|{_DOT})*{_DOT}(?:[^\W\d_]|{_BEYOND_ASCII}){{2}}){_HOST}+(?:{_DOT}{_HOST}+)+"
)
# A match begins only where a run of local characters begins, or behind an encoded delimiter such
# as %3D, and never gives characters back: so long hostile texts cost linear time.
_EMAIL = re.compile(
    r"(?:(?<![\w.+'~%-])|(?<=%(?!2[BDE]|5F|[89A-F])[0-9A-F]{2})"
    r"|(?<=%)(?![0-9A-F]{2}|u[0-9A-F]{4}))"
    rf"{_LOCAL}++{_AT_DOMAIN}(?:{_LOCAL}*+{_AT_DOMAIN})*",
    re.IGNORECASE,
)

_AT_SIGN = re.compile(_AT, re.IGNORECASE)

_USER_INFO = re.compile(r"\A(\s*(?:[a-z][a-z0-9+.-]*:)?//)[^/?#\\]*@", re.IGNORECASE)
_PAIR_KEY = re.compile(r"[?&#;]([^?&#;=]*+)=")
_VALUE = re.compile(r"[^&#]*+")
# A pair behind ";" may stand in the path (;jsessionid=…), so its value ends before the query.
_PATH_VALUE = re.compile(r"[^;/?&#]*+")
# The same inside a parameter that is itself an encoded URL or form: %3Femail%3D…%26, at any depth.
# The sign = is only looked at, since the next name may begin right behind it.
_ENCODED_PAIR_KEY = re.compile(
    r"(?:[?&#;=]|%(?:25)*(?:3[FBD]|2[63]))"
    r"((?:[^?&#;=%]|%(?!(?:25)*(?:3[FBD]|2[63])))*+)(?=(=|%(?:25)*3D))",
    re.IGNORECASE,
)
_ENCODED_VALUE = re.compile(r"(?:[^&#%]|%(?!(?:25)*2[36]))*+", re.IGNORECASE)

# A name in JSON, or in what a script or a cut left of it: "phone":, \"phone\":, {phone:.
_JSON_KEY = re.compile(
    r"""["']([^"'\\]{1,100})\\*+["'][\s+]*+:|[{(,][\s+]*+([\w-]{1,100})[\s+]*+:"""
)
_JSON_PAIR_NAME = re.compile(
    r"""(?<![\w-])(?:name|key|field|label)\\*+["']?[\s+]*+:[\s+]*+\\*+["']([^"'\\]{1,100})""",
    re.IGNORECASE,
)
_QUOTE = re.compile(r"""["'{]|%(?:25)*(?:22|27|7B|u00)""", re.IGNORECASE)
_URL_PART = re.compile(r"[^?&#]+")
_OLD_ESCAPE = re.compile(r"%u([0-9a-fA-F]{4})")
_NESTED_PERCENT = re.compile(r"%(?:25)+")
_LEVELS_MAX = 5


def redact_url(url: str) -> str:
    """The URL without credentials, values of sensitive keys and e-mail addresses.

    Values become `_removed_` in query, fragment and path parameters, also where a parameter is
    itself an encoded URL; every other character stays as it is.

    >>> redact_url("https://shop.example/thanks?order=7&email=jo%40example.com&fbclid=IwAR2")
    'https://shop.example/thanks?order=7&email=_removed_&fbclid=IwAR2'
    """
    if "=" not in url and "%" not in url and not _may_hold_more(url):
        return url
    clean = _USER_INFO.sub(r"\1", url, count=1) if "@" in url else url
    if not _CLEAN_KEYS.issuperset(_PAIR_KEY.findall(clean)):
        clean = _remove_values(clean, _PAIR_KEY, _VALUE)
    if "%3D" in clean or "%3d" in clean or "%25" in clean or "%26" in clean:
        clean = _remove_values(clean, _ENCODED_PAIR_KEY, _ENCODED_VALUE)
    if '"' in clean or "{" in clean or "'" in clean or ("%" in clean and _QUOTE.search(clean)):
        clean = _URL_PART.sub(_without_json, clean)
    clean = redact_text(clean)
    return url if clean == url else clean


def redact_text(text: str) -> str:
    """The text with `_removed_` in place of whatever is shaped like an e-mail address.

    >>> redact_text("Write to jo@example.com, order 1234567890")
    'Write to _removed_, order 1234567890'
    """
    if text.isascii() and not ("@" in text or "%" in text or "&#" in text or "\\" in text):
        return text
    if _AT_SIGN.search(text) is None:
        return text
    clean, count = _EMAIL.subn(REMOVED, text)
    return clean if count else text


def _may_hold_more(text: str) -> bool:
    """Whether there is a sign of an address that is not percent-encoded, or of JSON."""
    return "@" in text or "&#" in text or "\\" in text or '"' in text or not text.isascii()


def redact(value: Any) -> Any:
    """A JSON-like tree (dict, list, str, numbers) without sensitive values and e-mail addresses.

    Texts that hold a URL or JSON are looked into. Nothing is changed in place: where something was
    removed the containers around it are new, everything else is the same object. Flags, null and
    empty text stay under any key, for they tell nothing about a person.
    """
    kind = type(value)
    if kind is str:
        return _redact_string(value)
    if kind is dict:
        return _redact_dict(value)
    return _redact_list(value) if kind is list else value


# The two loops run for every event, so a clean tree passes with few look-ups per key and one call
# per text: text without any of these signs holds neither an address nor a key with a value.
def _redact_dict(value: dict[str, Any]) -> dict[str, Any]:
    clean_keys = _CLEAN_KEYS
    changed: dict[str, Any] | None = None
    renamed = False
    for key, item in value.items():
        kind = type(item)
        if key not in clean_keys and (verdict := _judge(key)):
            renamed = renamed or verdict == RENAME
            is_personal = verdict == REMOVE or (verdict == PAIRED and _has_personal_name(value))
            clean = _redact_sensitive(item) if is_personal else redact(item)
        elif kind is str:
            if not ("=" in item or "%" in item or _may_hold_more(item)):
                continue
            clean = _redact_string(item)
        elif kind is list:
            clean = _redact_list(item)
        elif kind is dict:
            clean = _redact_dict(item)
        else:
            continue
        if clean is not item:
            changed = changed or dict(value)
            changed[key] = clean
    result = changed or value
    return {_redact_string(key): item for key, item in result.items()} if renamed else result


def _redact_list(value: list[Any]) -> list[Any]:
    changed: list[Any] | None = None
    for index, item in enumerate(value):
        kind = type(item)
        if kind is str:
            if not ("=" in item or "%" in item or _may_hold_more(item)):
                continue
            clean: Any = _redact_string(item)
        elif kind is dict:
            clean = _redact_dict(item)
        elif kind is list:
            clean = _redact_list(item)
        else:
            continue
        if clean is not item:
            changed = changed or list(value)
            changed[index] = clean
    return changed or value


def _has_personal_name(pair: dict[str, Any]) -> bool:
    """Whether what stands beside a value names it as personal. Beside a currency it is an amount:
    whoever sells phones may say so."""
    if _PAIR_NAMES.isdisjoint(pair) or "currency" in pair:
        return False
    names = (pair[key] for key in _PAIR_NAMES & pair.keys())
    return any(type(name) is str and _is_personal(name) for name in names)


def _is_personal(name: str) -> bool:
    """The same for a name that is meant for people, as in "Phone *" and "Your e-mail:"."""
    return _judge(name.strip(_LABEL_SIGNS)) == REMOVE


def _redact_sensitive(item: Any) -> Any:
    is_empty = item is None or item is True or item is False or item in ("", REMOVED)
    return item if is_empty else REMOVED


def _redact_string(text: str) -> str:
    if not ("=" in text or "%" in text or "@" in text or '"' in text):
        return redact_text(text)
    if '"' in text:
        return _redact_json(text)
    if "&" in text and "://" not in text:
        # A form as text: its first name has no sign before it.
        form = "&" + text
        clean = redact_url(form)
        return text if clean is form else clean[1:]
    if "?" in text or text[:1] == "/" or "://" in text or "%" in text:
        return redact_url(text)
    return redact_text(text)


def _redact_json(text: str) -> str:
    try:
        tree = json.loads(text, object_pairs_hook=_unique)
        clean = redact(tree)
    except (ValueError, RecursionError):
        return REMOVED if _has_personal_key(text) else redact_url(text)
    if clean is tree:
        return text
    return json.dumps(clean, ensure_ascii=False, separators=(",", ":"))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a name that comes twice only the last value would be looked at."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("A name comes twice.")
    return found


def _without_json(part: re.Match[str]) -> str:
    """A part of a URL; where it holds JSON with a personal key, its whole value goes."""
    text = part[0]
    quote = _QUOTE.search(text)
    if quote is None or not _has_personal_key(_decode(text)):
        return text
    return text[: text.find("=", 0, quote.start()) + 1 or quote.start()] + REMOVED


def _has_personal_key(text: str) -> bool:
    if any(_judge(quoted or bare) == REMOVE for quoted, bare in _JSON_KEY.findall(text)):
        return True
    return "value" in text.lower() and any(map(_is_personal, _JSON_PAIR_NAME.findall(text)))


def _decode(text: str) -> str:
    """Without percent-encoding, however often it was applied."""
    for _ in range(_LEVELS_MAX):
        if "%" not in text:
            break
        text = _NESTED_PERCENT.sub("%", text)
        text = unquote(_OLD_ESCAPE.sub(lambda found: chr(int(found[1], 16)), text))
    return text


def _remove_values(url: str, pair_key: re.Pattern[str], value: re.Pattern[str]) -> str:
    pieces: list[str] = []
    done = 0
    for found in pair_key.finditer(url):
        if found.start() < done or _judge(found[1]) != REMOVE:
            continue
        ending = _PATH_VALUE if url[found.start()] == ";" else value
        begin = found.end(found.re.groups) if found.re.groups == 2 else found.end()
        end = ending.match(url, begin).end()  # type: ignore[union-attr]
        if end > begin:
            pieces += (url[done:begin], REMOVED)
            done = end
    return "".join((*pieces, url[done:]))


def _judge(key: str) -> int:
    """What to do with a key (for PAIRED the name beside it decides); a harmless one is remembered,
    since the same few come each time."""
    if key in _CLEAN_KEYS:
        return KEEP
    if key in _PAIR_VALUES:
        return PAIRED
    # Forms nest their names: user[email], user%5Bemail%5D, customer.phone, contacts[0][name].
    readable = _decode(key[-_KEY_LENGTH_READ_MAX:])
    parts = [_KEY_JOINTS.sub("", part) for part in _KEY_PARTS.split(readable.lower())]
    names = [part for part in parts if part and not part.isdigit()]
    if names and (names[-1] in SENSITIVE_KEYS or "".join(names[-2:]) in SENSITIVE_KEYS):
        return REMOVE
    if _redact_string(key) is not key:
        return RENAME
    if len(key) <= _KEY_LENGTH_KEPT_MAX:
        if len(_CLEAN_KEYS) >= _KEYS_KEPT_MAX:
            _CLEAN_KEYS.clear()
        _CLEAN_KEYS.add(key)
    return KEEP


_CLEAN_KEYS: set[str] = set()
