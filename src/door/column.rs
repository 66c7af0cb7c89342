//! The columns that inputs have.

/// A column that the door knows. The names are those of the contract and of what `seed` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    UserId,
    EventId,
    OccurredAt,
    Kind,
    Quantity,
    Name,
    Email,
    Phone,
    PushToken,
    Plan,
    Options,
    ContractStart,
    ContractEnd,
    Welfare,
    SoldierStart,
    SoldierEnd,
    QuietFrom,
    QuietTo,
    SendDay,
    Status,
    Locale,
    NameSealed,
    MaskedEmailSealed,
    MaskedPhoneSealed,
    EmailSealed,
    SmsSealed,
    KakaoSealed,
    PushSealed,
    EmailDigest,
    SmsDigest,
    KakaoDigest,
    PushDigest,
    Channel,
    Address,
    Digest,
}

/// How many columns there are.
pub(super) const COLUMNS: usize = Column::ALL.len();

impl Column {
    /// All of them, in the order of their ordinals.
    pub(super) const ALL: [Self; 35] = [
        Self::UserId,
        Self::EventId,
        Self::OccurredAt,
        Self::Kind,
        Self::Quantity,
        Self::Name,
        Self::Email,
        Self::Phone,
        Self::PushToken,
        Self::Plan,
        Self::Options,
        Self::ContractStart,
        Self::ContractEnd,
        Self::Welfare,
        Self::SoldierStart,
        Self::SoldierEnd,
        Self::QuietFrom,
        Self::QuietTo,
        Self::SendDay,
        Self::Status,
        Self::Locale,
        Self::NameSealed,
        Self::MaskedEmailSealed,
        Self::MaskedPhoneSealed,
        Self::EmailSealed,
        Self::SmsSealed,
        Self::KakaoSealed,
        Self::PushSealed,
        Self::EmailDigest,
        Self::SmsDigest,
        Self::KakaoDigest,
        Self::PushDigest,
        Self::Channel,
        Self::Address,
        Self::Digest,
    ];

    /// The name in a header.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::UserId => "user_id",
            Self::EventId => "event_id",
            Self::OccurredAt => "occurred_at",
            Self::Kind => "kind",
            Self::Quantity => "quantity",
            Self::Name => "name",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::PushToken => "push_token",
            Self::Plan => "plan",
            Self::Options => "options",
            Self::ContractStart => "contract_start",
            Self::ContractEnd => "contract_end",
            Self::Welfare => "welfare",
            Self::SoldierStart => "soldier_start",
            Self::SoldierEnd => "soldier_end",
            Self::QuietFrom => "quiet_from",
            Self::QuietTo => "quiet_to",
            Self::SendDay => "send_day",
            Self::Status => "status",
            Self::Locale => "locale",
            Self::NameSealed => "name_sealed",
            Self::MaskedEmailSealed => "email_masked_sealed",
            Self::MaskedPhoneSealed => "phone_masked_sealed",
            Self::EmailSealed => "email_sealed",
            Self::SmsSealed => "sms_sealed",
            Self::KakaoSealed => "kakao_sealed",
            Self::PushSealed => "push_sealed",
            Self::EmailDigest => "email_token",
            Self::SmsDigest => "sms_token",
            Self::KakaoDigest => "kakao_token",
            Self::PushDigest => "push_token",
            Self::Channel => "channel",
            Self::Address => "address",
            Self::Digest => "token",
        }
    }

    /// What values the column holds.
    pub(super) const fn form(self) -> Form {
        match self {
            Self::UserId | Self::Quantity | Self::QuietFrom | Self::QuietTo | Self::SendDay => {
                Form::Integer
            }
            Self::EventId => Form::Identifier,
            Self::OccurredAt => Form::Time,
            Self::Options => Form::Codes,
            Self::ContractStart | Self::ContractEnd | Self::SoldierStart | Self::SoldierEnd => {
                Form::Day
            }
            Self::NameSealed
            | Self::MaskedEmailSealed
            | Self::MaskedPhoneSealed
            | Self::EmailSealed
            | Self::SmsSealed
            | Self::KakaoSealed
            | Self::PushSealed
            | Self::EmailDigest
            | Self::SmsDigest
            | Self::KakaoDigest
            | Self::PushDigest
            | Self::Digest => Form::Bytes,
            _ => Form::Text,
        }
    }
}

/// What values a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Text.
    Text,
    /// Text or a whole number: it is only ever compared.
    Identifier,
    /// A whole number.
    Integer,
    /// A point in time.
    Time,
    /// A calendar date.
    Day,
    /// Codes separated by `;`, or a list.
    Codes,
    /// Bytes; in text, hexadecimal.
    Bytes,
}
