"""Raw personal data never reaches disk: it is taken out of URLs, texts and custom data here.

Two things go: the values of a closed list of key names, and whatever is shaped like an e-mail
address. Bare digits, click ids, campaign parameters, order ids and content ids always stay.
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

KEEP, REMOVE, RENAME = 0, 1, 2

_KEY_JOINTS = re.compile(r"[-_+\s]+")
_KEY_PARTS = re.compile(r"[\[\].]+")
_KEY_LENGTH_READ_MAX = 100
_KEY_LENGTH_KEPT_MAX = 64
_KEYS_KEPT_MAX = 4096

# One character of an address's local part, plain or percent-encoded (+ - . _ and UTF-8 bytes).
_LOCAL = r"(?:[\w.+'~-]|%(?:2[BDE]|5F|[89A-F][0-9A-F]))"
_AT_DOMAIN = (
    r"(?:@|%(?:25)*40)"
    # Shops name images for sharp screens `shoe@2x.png`.
    r"(?![1-9](?:\.[0-9])?x\.(?:png|jpe?g|gif|webp|avif|svg))"
    r"(?=[\w.-]*\.[^\W\d_]{2})[\w-]+(?:\.[\w-]+)+"
)
# A match begins only where a run of local characters begins, or behind an encoded delimiter such
# as %3D, and never gives characters back: so long hostile texts cost linear time.
_EMAIL = re.compile(
    r"(?:(?<![\w.+'~%-])|(?<=%(?!2[BDE]|5F|[89A-F])[0-9A-F]{2}))"
    rf"{_LOCAL}++{_AT_DOMAIN}(?:{_LOCAL}*+{_AT_DOMAIN})*",
    re.IGNORECASE,
)

_USER_INFO = re.compile(r"\A(\s*(?:[a-z][a-z0-9+.-]*:)?//)[^/?#\\]*@", re.IGNORECASE)
_PAIR_KEY = re.compile(r"[?&#;]([^?&#;=]*+)=")
_VALUE = re.compile(r"[^&#]*+")
# A pair behind ";" may stand in the path (;jsessionid=…), so its value ends before the query.
_PATH_VALUE = re.compile(r"[^;/?&#]*+")
# The same inside a parameter that is itself an encoded URL: %3Femail%3D…%26, at any depth.
_ENCODED_PAIR_KEY = re.compile(
    r"(?:[?&#;]|%(?:25)*(?:3F|26|23|3B))((?:[^?&#;=%]|%(?:25)*5[BD])*+)(?:=|%(?:25)*3D)",
    re.IGNORECASE,
)
_ENCODED_VALUE = re.compile(r"(?:[^&#%]|%(?!(?:25)*2[36]))*+")


def redact_url(url: str) -> str:
    """The URL without credentials, values of sensitive keys and e-mail addresses.

    Values become `_removed_` in query, fragment and path parameters, also where a parameter is
    itself an encoded URL; every other character stays as it is.

    >>> redact_url("https://shop.example/thanks?order=7&email=jo%40example.com&fbclid=IwAR2")
    'https://shop.example/thanks?order=7&email=_removed_&fbclid=IwAR2'
    """
    if "=" not in url and "@" not in url and "%" not in url:
        return url
    clean = _USER_INFO.sub(r"\1", url, count=1) if "@" in url else url
    if not _CLEAN_KEYS.issuperset(_PAIR_KEY.findall(clean)):
        clean = _remove_values(clean, _PAIR_KEY, _VALUE)
    if "%3D" in clean or "%3d" in clean or "%25" in clean or "%26" in clean:
        clean = _remove_values(clean, _ENCODED_PAIR_KEY, _ENCODED_VALUE)
    clean = redact_text(clean)
    return url if clean == url else clean


def redact_text(text: str) -> str:
    """The text with `_removed_` in place of whatever is shaped like an e-mail address.

    >>> redact_text("Write to jo@example.com, order 1234567890")
    'Write to _removed_, order 1234567890'
    """
    if "@" not in text and "%" not in text:
        return text
    clean, count = _EMAIL.subn(REMOVED, text)
    return clean if count else text


def redact(value: Any) -> Any:
    """A JSON-like tree (dict, list, str, numbers) without sensitive values and e-mail addresses.

    Texts that hold a URL or JSON are looked into. Nothing is changed in place: where something was
    removed the containers around it are new, everything else is the same object. Flags, null and
    empty text stay under any key, for they tell nothing about a person.
    """
    kind = type(value)
    if kind is dict:
        return _redact_dict(value)
    if kind is list:
        return _redact_list(value)
    return _redact_string(value) if kind is str else value


# The two loops run for every event, so a clean tree passes with few look-ups per key and no calls:
# text without any of these four signs holds neither an address nor a key with a value.
def _redact_dict(value: dict[str, Any]) -> dict[str, Any]:
    clean_keys = _CLEAN_KEYS
    changed: dict[str, Any] | None = None
    renamed = False
    for key, item in value.items():
        kind = type(item)
        if key not in clean_keys and (verdict := _judge(key)):
            renamed = renamed or verdict == RENAME
            clean = _redact_sensitive(item) if verdict == REMOVE else redact(item)
        elif kind is str:
            if not ("@" in item or "=" in item or "%" in item or '"' in item):
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
    return {redact_text(key): item for key, item in result.items()} if renamed else result


def _redact_list(value: list[Any]) -> list[Any]:
    changed: list[Any] | None = None
    for index, item in enumerate(value):
        kind = type(item)
        if kind is str:
            if not ("@" in item or "=" in item or "%" in item or '"' in item):
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


def _redact_sensitive(item: Any) -> Any:
    is_empty = item is None or item is True or item is False or item in ("", REMOVED)
    return item if is_empty else REMOVED


def _redact_string(text: str) -> str:
    if '"' in text and text.lstrip()[:1] in ("{", "["):
        return _redact_json(text)
    if text.startswith(("/", "?")) or text[:8].lower().startswith(("http://", "https://")):
        return redact_url(text)
    return redact_text(text)


def _redact_json(text: str) -> str:
    try:
        tree = json.loads(text)
        clean = redact(tree)
    except (ValueError, RecursionError):
        return redact_text(text)
    if clean is tree:
        return text
    return json.dumps(clean, ensure_ascii=False, separators=(",", ":"))


def _remove_values(url: str, pair_key: re.Pattern[str], value: re.Pattern[str]) -> str:
    pieces: list[str] = []
    done = 0
    for found in pair_key.finditer(url):
        if found.start() < done or _judge(found[1]) != REMOVE:
            continue
        ending = _PATH_VALUE if url[found.start()] == ";" else value
        end = ending.match(url, found.end()).end()  # type: ignore[union-attr]
        if end > found.end():
            pieces += (url[done : found.end()], REMOVED)
            done = end
    return "".join((*pieces, url[done:]))


def _judge(key: str) -> int:
    """What to do with a key; a harmless one is remembered, since the same few come each time."""
    if key in _CLEAN_KEYS:
        return KEEP
    # Forms nest their names: user[email], user%5Bemail%5D, customer.phone, contacts[0][name].
    readable = unquote(key[-_KEY_LENGTH_READ_MAX:])
    parts = [_KEY_JOINTS.sub("", part) for part in _KEY_PARTS.split(readable.lower())]
    names = [part for part in parts if part and not part.isdigit()]
    if names and (names[-1] in SENSITIVE_KEYS or "".join(names[-2:]) in SENSITIVE_KEYS):
        return REMOVE
    if redact_text(key) is not key:
        return RENAME
    if len(key) <= _KEY_LENGTH_KEPT_MAX:
        if len(_CLEAN_KEYS) >= _KEYS_KEPT_MAX:
            _CLEAN_KEYS.clear()
        _CLEAN_KEYS.add(key)
    return KEEP


_CLEAN_KEYS: set[str] = set()
