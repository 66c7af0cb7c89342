//! `template preview`: what would be sent, without sending it. Masked as it always is.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use clap::ValueEnum;
use sealpost_operators::render::{Limits, Profile, RenderError, Rendered, TemplateSet};
use sealpost_schemas::key_ring::KeyRing;
use sealpost_schemas::record::{Dispatch, Locale, Statement};
use sealpost_schemas::sealed::{KeyPurpose, Plaintext, Purpose};
use sealpost_schemas::{Channel, Period, Sealed, UserId};

use crate::commands::Scene;
use crate::deployment::{Deployment, key_ring};
use crate::host::Role;
use crate::stages::user_period_key;
use crate::templates;
use crate::usage_error::usage;

/// `template preview …`
#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Arguments {
    /// The month, YYYY-MM
    #[arg(required_unless_present = "sample", requires = "user")]
    period: Option<Period>,
    /// Whose bill: it must have been settled
    #[arg(long, requires = "period")]
    user: Option<UserId>,
    /// A bill that is made up instead: it has a line of every kind
    #[arg(long, conflicts_with_all = ["period", "user"])]
    sample: bool,
    /// Only this channel [default: all]
    #[arg(long)]
    channel: Option<Channel>,
    /// Only this language of the sample [default: both]
    #[arg(long, value_enum, requires = "sample")]
    locale: Option<Language>,
}

/// A language of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    /// Korean
    Ko,
    /// English
    En,
}

/// One message, or why there is none.
struct Preview {
    channel: Channel,
    locale: Locale,
    rendered: Result<Rendered, RenderError>,
}

pub(super) fn execute(scene: &Scene, arguments: &Arguments) -> Result<()> {
    let set = templates::load(&scene.config)?;
    let channels = match arguments.channel {
        Some(channel) => vec![channel],
        None => Channel::ALL.to_vec(),
    };
    let previews = match (arguments.period, arguments.user) {
        (Some(period), Some(user)) => of_user(scene, &set, &channels, period, user)?,
        _ => of_sample(&set, &channels, arguments.locale),
    };
    if let (
        [
            Preview {
                rendered: Err(error),
                ..
            },
        ],
        Some(_),
    ) = (&previews[..], arguments.channel)
    {
        bail!("{error}");
    }
    let json: Vec<_> = previews
        .iter()
        .map(|preview| described(preview, &set))
        .collect();
    let json = serde_json::json!({
        "period": arguments.period, "user_id": arguments.user,
        "template_digest": set.digest().to_string(), "messages": json,
    });
    let text: String = previews
        .iter()
        .map(|preview| shown(preview, &set))
        .collect();
    scene.answer(&json, &text)
}

fn of_sample(set: &TemplateSet, channels: &[Channel], language: Option<Language>) -> Vec<Preview> {
    let locales = match language {
        Some(Language::Ko) => vec![Locale::Ko],
        Some(Language::En) => vec![Locale::En],
        None => vec![Locale::Ko, Locale::En],
    };
    let mut previews = Vec::new();
    for channel in channels {
        for locale in &locales {
            previews.push(Preview {
                channel: *channel,
                locale: *locale,
                rendered: set.render_sample(*channel, *locale),
            });
        }
    }
    previews
}

fn of_user(
    scene: &Scene,
    set: &TemplateSet,
    channels: &[Channel],
    period: Period,
    user: UserId,
) -> Result<Vec<Preview>> {
    let ring = key_ring(&scene.config)?;
    ring.require(&[KeyPurpose::Profile]).map_err(usage)?;
    let ring = ring.restricted_to(&[KeyPurpose::Profile]);
    let deployment = Deployment::open(scene.config.clone(), &scene.data_dir, Role::Command)?;
    let key = user_period_key(user, period);
    let mut statement: Option<Statement> = None;
    let mut decoder = deployment.values.decoder();
    let (topic, shard) = (&deployment.topics().statements, deployment.shard_of(user));
    deployment.scan(topic, shard, |_, of, value| {
        if of == key.as_bytes() {
            statement = Some(decoder.decode(value)?);
        }
        Ok(())
    })?;
    let Some(statement) = statement else {
        bail!("user {user} has no statement for {period}: close the period and let it be settled");
    };
    let contacts = &statement.contacts;
    let name = open(&ring, user, Purpose::ProfileName, contacts.name.as_ref())?;
    let email = open(
        &ring,
        user,
        Purpose::ProfileEmail,
        contacts.masked_email.as_ref(),
    )?;
    let phone = open(
        &ring,
        user,
        Purpose::ProfilePhone,
        contacts.masked_phone.as_ref(),
    )?;
    let profile = Profile {
        name: text(name.as_ref())?,
        masked_email: text(email.as_ref())?,
        masked_phone: text(phone.as_ref())?,
    };
    let preview = |channel: &Channel| Preview {
        channel: *channel,
        locale: statement.locale,
        rendered: set.render(&statement, &profile, *channel),
    };
    Ok(channels.iter().map(preview).collect())
}

fn open(
    ring: &KeyRing,
    user: UserId,
    purpose: Purpose,
    sealed: Option<&Sealed>,
) -> Result<Option<Plaintext>> {
    let opened = sealed.map(|sealed| ring.open(purpose, user, sealed));
    Ok(opened.transpose()?)
}

fn text(opened: Option<&Plaintext>) -> Result<&str> {
    match opened.map_or(Some(""), Plaintext::as_str) {
        Some(text) => Ok(text),
        None => bail!("the profile is no text: ingest the subscriber again, and close again"),
    }
}

fn described(preview: &Preview, set: &TemplateSet) -> serde_json::Value {
    let Preview {
        channel,
        locale,
        rendered,
    } = preview;
    let (size_max, unit) = (set.limits().of(*channel), Limits::unit(*channel));
    match rendered {
        Ok(Rendered {
            subject,
            body,
            html,
        }) => serde_json::json!({
            "channel": channel, "locale": locale, "subject": subject, "body": body, "html": html,
            "size": Limits::size(*channel, body), "size_max": size_max, "unit": unit,
            "body_digest":
                Dispatch::digest_of(subject.as_deref(), body, html.as_deref()).to_string(),
        }),
        Err(error) => serde_json::json!({
            "channel": channel, "locale": locale, "reason": error.reason(),
            "problem": error.to_string(), "size_max": size_max, "unit": unit,
        }),
    }
}

fn shown(preview: &Preview, set: &TemplateSet) -> String {
    let Preview {
        channel,
        locale,
        rendered,
    } = preview;
    let language = match locale {
        Locale::Ko => "ko",
        Locale::En => "en",
    };
    let mut text = String::new();
    let rendered = match rendered {
        Ok(rendered) => rendered,
        Err(error) => return format!("--- {channel} {language}: not sent: {error}\n\n"),
    };
    let _ = writeln!(
        text,
        "--- {channel} {language}, {} of {} {}",
        Limits::size(*channel, &rendered.body),
        set.limits().of(*channel),
        Limits::unit(*channel)
    );
    if let Some(subject) = &rendered.subject {
        let _ = writeln!(text, "subject: {subject}\n");
    }
    let _ = writeln!(text, "{}\n", rendered.body.trim_end());
    if let Some(html) = &rendered.html {
        let _ = writeln!(text, "html:\n{}\n", html.trim_end());
    }
    text
}
