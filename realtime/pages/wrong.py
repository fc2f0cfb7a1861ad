"""The answer to an address that is none of ours: a page in the reader's language that says what to do.

Such an address is a link of ours that a program has changed or cut, or one that a person typed. The pages are
made at import and hold nothing of a request. They have no script, so that they are read where scripts do not
run.
"""

import base64
import hashlib
import html
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from aiohttp import web

from realtime.answers.language import wished

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Help(NamedTuple):
    """What the page says in one language."""

    title: str
    why: str
    whole: str
    """Open the whole link."""
    again: str
    """Ask for a new one."""
    danger: str
    """Whom to call: ``{number}``."""
    console: str
    drive: str


EMERGENCY: Final = "112"
"""The number that mobile phones know nearly everywhere."""
HELP: Final[dict[str, Help]] = {
    "en": Help(
        "There is nothing at this address",
        "A link may have been cut off or changed on its way to you.",
        "Open the message again and tap the whole link, or copy all of it into the address bar.",
        "If that does not help, ask the sender for a new link.",
        "If a person is in danger, call {number}.",
        "For dispatchers: the console",
        "For drivers: the app",
    ),
    "de": Help(
        "Unter dieser Adresse gibt es nichts",
        "Vielleicht wurde ein Link auf dem Weg zu Ihnen abgeschnitten oder verändert.",
        "Öffnen Sie die Nachricht noch einmal und tippen Sie auf den ganzen Link, oder kopieren Sie ihn "
        "vollständig in die Adresszeile.",
        "Wenn das nicht hilft, bitten Sie den Absender um einen neuen Link.",
        "Ist ein Mensch in Gefahr, rufen Sie {number} an.",
        "Für die Leitstelle: die Konsole",
        "Für Fahrer: die App",
    ),
    "es": Help(
        "No hay nada en esta dirección",
        "Puede que el enlace se haya cortado o cambiado por el camino.",
        "Abra de nuevo el mensaje y toque el enlace completo, o cópielo entero en la barra de direcciones.",
        "Si no funciona, pida un enlace nuevo a quien se lo envió.",
        "Si una persona está en peligro, llame al {number}.",
        "Para la central: la consola",
        "Para conductores: la aplicación",
    ),
    "fr": Help(
        "Il n’y a rien à cette adresse",
        "Le lien a peut-être été coupé ou modifié en chemin.",
        "Rouvrez le message et touchez le lien entier, ou copiez-le en entier dans la barre d’adresse.",
        "Si cela ne suffit pas, demandez un nouveau lien à l’expéditeur.",
        "Si une personne est en danger, appelez le {number}.",
        "Pour les opérateurs : la console",
        "Pour les conducteurs : l’application",
    ),
    "hi": Help(
        "इस पते पर कुछ नहीं है",
        "हो सकता है कि लिंक रास्ते में कट गया हो या बदल गया हो।",
        "संदेश फिर से खोलें और पूरे लिंक पर टैप करें, या पूरा लिंक पता बार में कॉपी करें।",
        "इससे काम न बने तो भेजने वाले से नया लिंक माँगें।",
        "अगर कोई ख़तरे में है तो {number} पर कॉल करें।",
        "डिस्पैचर के लिए: कंसोल",
        "ड्राइवर के लिए: ऐप",
    ),
    "pt": Help(
        "Não há nada neste endereço",
        "A ligação pode ter sido cortada ou alterada pelo caminho.",
        "Abra de novo a mensagem e toque na ligação inteira, ou copie-a toda para a barra de endereço.",
        "Se não resultar, peça uma ligação nova a quem a enviou.",
        "Se uma pessoa estiver em perigo, ligue {number}.",
        "Para a central: a consola",
        "Para condutores: a aplicação",
    ),
    "ar": Help(
        "لا يوجد شيء في هذا العنوان",
        "ربما قُطع الرابط أو تغيّر في طريقه إليك.",
        "افتح الرسالة مجددًا واضغط الرابط كاملًا، أو انسخه كله إلى شريط العنوان.",
        "إن لم ينفع ذلك، فاطلب من المرسل رابطًا جديدًا.",
        "إذا كان شخص في خطر فاتصل بالرقم {number}.",
        "للمشرفين: لوحة المتابعة",
        "للسائقين: التطبيق",
    ),
}

_STYLE: Final = (
    ":root{color-scheme:light dark}"
    "body{font:18px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;margin:0 auto;padding:32px 20px;"
    "max-width:34em;background:#fff;color:#1a1a1a}"
    "h1{font-size:26px;line-height:1.2;margin:0 0 12px}li{margin:0 0 8px}ol{padding-inline-start:1.4em}"
    ".danger{border-inline-start:4px solid #b3001b;padding:4px 12px;font-weight:600}a{color:#0050b3}"
    "nav{margin-top:32px;font-size:16px;display:grid;gap:8px}"
    "@media(prefers-color-scheme:dark){body{background:#121212;color:#f0f0f0}a{color:#8ab4ff}}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Language",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}

_NOT_PAGES: Final = ("/api", "/pages", "/hooks", "/answers", "/socket.io", "/healthz", "/readyz", "/metrics")
"""Where programs ask: their answers have a form of their own."""


def is_for_people(request: web.Request) -> bool:
    """Whether a person may have opened this address: a GET or HEAD of none that programs use."""
    if request.method not in ("GET", "HEAD"):
        return False
    return not any(request.path == one or request.path.startswith(f"{one}/") for one in _NOT_PAGES)


@web.middleware
async def helpful(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer an address that no route knows by the page that helps, with the status 404."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        if not is_for_people(request):
            raise
        return page(request.headers.get("Accept-Language", ""))


def page(accept_language: str) -> web.Response:
    """The page for a reader whose browser sends ``accept_language``."""
    return web.Response(
        body=_PAGES[wished(accept_language, HELP)],
        status=404,
        content_type="text/html",
        charset="utf-8",
        headers=HEADERS,
    )


def _rendered(language: str, said: Help) -> bytes:
    text = Help(*(html.escape(line) for line in said))
    call = f'<a href="tel:{EMERGENCY}">{EMERGENCY}</a>'
    direction = "rtl" if language == "ar" else "ltr"
    return (
        f'<!doctype html><html lang="{language}" dir="{direction}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="robots" content="noindex, nofollow"><link rel="icon" href="data:,">'
        f"<title>{text.title}</title><style>{_STYLE}</style></head><body><main><h1>{text.title}</h1>"
        f"<p>{text.why}</p><ol><li>{text.whole}</li><li>{text.again}</li></ol>"
        f'<p class="danger">{text.danger.format(number=call)}</p></main>'
        f'<nav><a href="/console">{text.console}</a><a href="/drive">{text.drive}</a></nav></body></html>'
    ).encode()


_PAGES: Final = {language: _rendered(language, said) for language, said in HELP.items()}
