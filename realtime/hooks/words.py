"""What somebody who answered is told back, by text or on the call, in the languages of the messages."""

from typing import Final

from alerts.words.language import DEFAULT

TEXTS: Final[dict[str, dict[str, str]]] = {
    "en": {
        "taken": "Thank you. You are on it for {driver}.",
        "more": "{driver} needs help too: answer 1 again if you are on that as well.",
        "over": "The alert of {driver} is over. Thank you.",
        "false": "Thank you. Everybody is told that it was a false alarm.",
        "first": "To say that you are on it for {driver}, answer 1.",
        "noted": "Your note is passed on to the others. To say that you are on it for {driver}, answer 1.",
        "nothing": "There is no open alert for your number. Thank you.",
        "help": "We tell you when somebody who chose you needs help. Answer 1 if you are on it, STOP to get "
        "nothing more.",
        "stopped": "You get no more messages from us. Answer START to get them again.",
        "started": "You get our messages again. Answer STOP to get no more.",
        "away": "Your answer could not be taken just now. Please open the link in the message.",
    },
    "de": {
        "taken": "Danke. Sie kümmern sich um {driver}.",
        "more": "Auch {driver} braucht Hilfe: Antworten Sie noch einmal mit 1, wenn Sie sich auch kümmern.",
        "over": "Der Alarm von {driver} ist vorbei. Danke.",
        "false": "Danke. Alle erfahren, dass es ein Fehlalarm war.",
        "first": "Wenn Sie sich um {driver} kümmern, antworten Sie mit 1.",
        "noted": "Ihre Nachricht wird weitergegeben. Wenn Sie sich um {driver} kümmern, antworten Sie mit 1.",
        "nothing": "Für Ihre Nummer gibt es keinen offenen Alarm. Danke.",
        "help": "Wir sagen Ihnen Bescheid, wenn jemand Hilfe braucht, der Sie angegeben hat. Antworten Sie "
        "mit 1, wenn Sie sich kümmern, mit STOP, wenn Sie nichts mehr bekommen möchten.",
        "stopped": "Sie bekommen keine Nachrichten mehr von uns. Mit START bekommen Sie sie wieder.",
        "started": "Sie bekommen unsere Nachrichten wieder. Mit STOP bekommen Sie keine mehr.",
        "away": "Ihre Antwort kam gerade nicht an. Bitte öffnen Sie den Link in der Nachricht.",
    },
    "es": {
        "taken": "Gracias. Usted se encarga de {driver}.",
        "more": "También {driver} necesita ayuda: responda 1 otra vez si también se encarga.",
        "over": "La alerta de {driver} ha terminado. Gracias.",
        "false": "Gracias. Se dice a todos que fue una falsa alarma.",
        "first": "Para decir que se encarga de {driver}, responda 1.",
        "noted": "Su nota se pasa a los demás. Para decir que se encarga de {driver}, responda 1.",
        "nothing": "No hay ninguna alerta abierta para su número. Gracias.",
        "help": "Le avisamos cuando alguien que le eligió necesita ayuda. Responda 1 si se encarga, STOP "
        "para no recibir nada más.",
        "stopped": "Ya no recibirá más mensajes nuestros. Responda START para volver a recibirlos.",
        "started": "Vuelve a recibir nuestros mensajes. Responda STOP para no recibir más.",
        "away": "Su respuesta no se pudo recibir ahora. Abra por favor el enlace del mensaje.",
    },
    "fr": {
        "taken": "Merci. Vous vous occupez de {driver}.",
        "more": "{driver} a aussi besoin d’aide : répondez encore 1 si vous vous en occupez aussi.",
        "over": "L’alerte de {driver} est terminée. Merci.",
        "false": "Merci. Tout le monde apprend que c’était une fausse alerte.",
        "first": "Pour dire que vous vous occupez de {driver}, répondez 1.",
        "noted": "Votre note est transmise. Pour dire que vous vous occupez de {driver}, répondez 1.",
        "nothing": "Il n’y a pas d’alerte ouverte pour votre numéro. Merci.",
        "help": "Nous vous prévenons quand quelqu’un qui vous a choisi a besoin d’aide. Répondez 1 si "
        "vous vous en occupez, STOP pour ne plus rien recevoir.",
        "stopped": "Vous ne recevrez plus nos messages. Répondez START pour les recevoir de nouveau.",
        "started": "Vous recevez de nouveau nos messages. Répondez STOP pour ne plus en recevoir.",
        "away": "Votre réponse n’a pas pu être prise. Ouvrez le lien du message, s’il vous plaît.",
    },
    "hi": {
        "taken": "धन्यवाद। {driver} को आप देख रहे हैं।",
        "more": "{driver} को भी मदद चाहिए: उन्हें भी देख रहे हैं तो फिर 1 भेजें।",
        "over": "{driver} का अलर्ट समाप्त हो गया। धन्यवाद।",
        "false": "धन्यवाद। सबको बताया जाएगा कि यह गलत अलार्म था।",
        "first": "अगर आप {driver} को देख रहे हैं तो 1 से जवाब दें।",
        "noted": "आपका नोट दूसरों को दिया गया। अगर आप {driver} को देख रहे हैं तो 1 से जवाब दें।",
        "nothing": "आपके नंबर के लिए कोई खुला अलर्ट नहीं है। धन्यवाद।",
        "help": "जिसने आपको चुना है उसे मदद चाहिए तो हम आपको बताते हैं। देख रहे हों तो 1, बंद करने के लिए STOP भेजें।",
        "stopped": "अब आपको हमारे संदेश नहीं मिलेंगे। फिर से पाने के लिए START भेजें।",
        "started": "अब आपको हमारे संदेश फिर मिलेंगे। बंद करने के लिए STOP भेजें।",
        "away": "आपका जवाब अभी नहीं लिया जा सका। कृपया संदेश का लिंक खोलें।",
    },
    "pt": {
        "taken": "Obrigado. Está a tratar de {driver}.",
        "more": "{driver} também precisa de ajuda: responda 1 outra vez se também trata disso.",
        "over": "O alerta de {driver} terminou. Obrigado.",
        "false": "Obrigado. Todos são avisados de que foi um falso alarme.",
        "first": "Para dizer que trata de {driver}, responda 1.",
        "noted": "A sua nota é passada aos outros. Para dizer que trata de {driver}, responda 1.",
        "nothing": "Não há nenhum alerta aberto para o seu número. Obrigado.",
        "help": "Avisamos quando alguém que o escolheu precisa de ajuda. Responda 1 se trata disso, STOP "
        "para não receber mais nada.",
        "stopped": "Já não recebe mais mensagens nossas. Responda START para voltar a recebê-las.",
        "started": "Volta a receber as nossas mensagens. Responda STOP para não receber mais.",
        "away": "A sua resposta não pôde ser recebida agora. Abra por favor a ligação da mensagem.",
    },
}


def said(what: str, language: str = DEFAULT, driver: str = "") -> str:
    """The text ``what`` in a BCP 47 language, else English."""
    primary = language.replace("_", "-").split("-", 1)[0].lower()
    return TEXTS.get(primary, TEXTS[DEFAULT])[what].format(driver=driver)
