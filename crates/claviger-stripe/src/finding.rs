//! Each thing that can be wrong with a value: its name, its reason, and the clicks that mend it.

use claviger_core::Reason;

macro_rules! findings {
    ($($(#[doc = $doc:literal])+ $variant:ident $name:literal $reason:expr, $text:literal;)+) => {
        /// One thing to say about a value.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum Finding {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Finding {
            /// Every finding there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The machine-readable name: `UPPER_SNAKE_CASE`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The reason of the refusal; none for a finding that only warns.
            pub fn reason(self) -> Option<Reason> {
                match self { $(Self::$variant => $reason,)+ }
            }

            /// The finding in words and the remedy, by the clicks in Stripe's dashboard.
            pub fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

findings! {
    /// An API key where a webhook secret belongs.
    ApiKey "API_KEY" Some(Reason::ValueWrongKind),
        "this is an API key; copy the signing secret (whsec_): Developers → Webhooks → the endpoint → Signing secret → Reveal; or register the key as STRIPE_API_KEY";
    /// `Bearer ` or `Authorization:` before the key.
    Bearer "BEARER" Some(Reason::ValueMalformed),
        "the value begins like a header (Authorization, Bearer); copy the key alone: Developers → API keys";
    /// A UTF-8 byte-order mark before the key.
    ByteOrderMark "BYTE_ORDER_MARK" Some(Reason::ValueMalformed),
        "the value begins with a byte-order mark, as some editors write it; save the file without it, or paste the key itself from Developers → API keys";
    /// A class of key that the definition does not allow.
    ClassNotAllowed "CLASS_NOT_ALLOWED" Some(Reason::ValueClassNotAllowed),
        "create a key of an allowed class, a restricted one if it can be: Developers → API keys → Create restricted key; or add this class to stripe.allowed_classes of the definition";
    /// An organization key, and the definition names no context.
    ContextRequired "CONTEXT_REQUIRED" Some(Reason::StripeContextRequired),
        "an organization key (sk_org_) works only together with an account; set stripe.context of the definition to its id (acct_…): open the account in the dashboard, Settings → Business → Account details";
    /// A key among other text.
    Embedded "EMBEDDED" Some(Reason::ValueMalformed),
        "there is more than a key in the value (a variable's name, a colon from curl, punctuation); copy the key alone: Developers → API keys";
    /// Nothing but white space.
    Empty "EMPTY" Some(Reason::ValueMalformed),
        "the value is only white space; store the key itself: Developers → API keys";
    /// The id of an endpoint or something else where a webhook secret belongs.
    EndpointIdentifier "ENDPOINT_IDENTIFIER" Some(Reason::ValueWrongKind),
        "this is an id, not a signing secret (whsec_); copy that: Developers → Webhooks → the endpoint → Signing secret → Reveal";
    /// An ephemeral key.
    EphemeralKey "EPHEMERAL_KEY" Some(Reason::ValueWrongKind),
        "this is an ephemeral key (ek_), made for one device and soon over; create a restricted key: Developers → API keys → Create restricted key";
    /// A key that may do everything.
    FullSecretKey "FULL_SECRET_KEY" None,
        "this is a full secret key (sk_), which may do everything in the account; prefer a restricted one: Developers → API keys → Create restricted key";
    /// The id of something where a key belongs.
    Identifier "IDENTIFIER" Some(Reason::ValueWrongKind),
        "this is an id, not a key; create a restricted key: Developers → API keys → Create restricted key; an account's id belongs in stripe.account of the definition";
    /// White space or a control character inside.
    InnerSpace "INNER_SPACE" Some(Reason::ValueMalformed),
        "the value has white space or a control character inside; copy it again in one piece: Developers → API keys (Developers → Webhooks for a signing secret)";
    /// A JSON document.
    Json "JSON" Some(Reason::ValueMalformed),
        "the value is a JSON document; store the key alone, or, in a vault that has properties (see ListVaults), name the one with the key in location.property; the key itself is under Developers → API keys";
    /// A live key where test ones are demanded.
    LiveKey "LIVE_KEY" Some(Reason::ValueWrongMode),
        "this is a live key, and the environment demands TEST; open a sandbox or turn on test mode in the dashboard, then Developers → API keys → Create restricted key";
    /// A masked key.
    Masked "MASKED" Some(Reason::ValueMalformed),
        "this is a masked key, as the dashboard shows it; click Reveal test key under Developers → API keys, or, because a live key is shown only once, Create restricted key";
    /// The environment demands a mode, and the key does not show its own.
    ModeUnknown "MODE_UNKNOWN" None,
        "the environment demands a mode, and the key does not show which one it is for; ask Stripe: CheckSecretDefinition with live";
    /// Characters outside of ASCII.
    NotAscii "NOT_ASCII" Some(Reason::ValueMalformed),
        "the value has characters that no key has (an invisible one, or a letter of another alphabet); copy it again from the dashboard itself: Developers → API keys";
    /// An example, a template or the beginning of a key.
    Placeholder "PLACEHOLDER" Some(Reason::ValueMalformed),
        "this is a placeholder (an example, a template that was not filled in, or only the beginning of a key); store the key itself: Developers → API keys (Developers → Webhooks for a signing secret)";
    /// A publishable key.
    PublishableKey "PUBLISHABLE_KEY" Some(Reason::ValueWrongKind),
        "this is a publishable key (pk_); create a restricted key: Developers → API keys → Create restricted key";
    /// Quotes around or beside the key.
    Quotes "QUOTES" Some(Reason::ValueMalformed),
        "the value has quotes around it; store it again without them, as it is copied from Developers → API keys (Developers → Webhooks for a signing secret)";
    /// A key that Stripe's command line made.
    ShortLived "SHORT_LIVED" None,
        "this is a key of a sandbox that Stripe's command line made (rkcs_), which ends; create one to stay: Developers → API keys → Create restricted key";
    /// White space around a stored value.
    SurroundingSpace "SURROUNDING_SPACE" Some(Reason::ValueMalformed),
        "the value has white space or a line break around it; store it again without, with PutSecretValue (which removes it) or in the vault's own console, as it is copied from Developers → API keys (Developers → Webhooks for a signing secret)";
    /// A test key where live ones are demanded.
    TestKey "TEST_KEY" Some(Reason::ValueWrongMode),
        "this is a test key, and the environment demands LIVE; leave the sandbox or test mode in the dashboard, then Developers → API keys → Create restricted key";
    /// White space around the value was removed before it was stored.
    Trimmed "VALUE_TRIMMED" None,
        "white space around the value was removed before it was stored";
    /// A prefix that is not known here, where a key belongs.
    UnknownPrefix "UNKNOWN_PREFIX" None,
        "the value does not begin like a Stripe key (rk_, sk_, sk_org_), so neither its class nor its mode is known; compare it with Developers → API keys";
    /// A prefix that is not known here, where a webhook secret belongs.
    UnknownWebhookPrefix "UNKNOWN_WEBHOOK_PREFIX" None,
        "the value does not begin like a signing secret (whsec_); compare it with Developers → Webhooks → the endpoint → Signing secret";
    /// A length or characters that no key has had so far.
    UnusualShape "UNUSUAL_SHAPE" None,
        "the value is shorter or longer than Stripe's own, or has other characters; see that it was copied whole";
    /// A webhook secret where a key belongs.
    WebhookSecret "WEBHOOK_SECRET" Some(Reason::ValueWrongKind),
        "this is a webhook signing secret (whsec_); create a restricted key: Developers → API keys → Create restricted key; or register it as STRIPE_WEBHOOK_SECRET";
}
