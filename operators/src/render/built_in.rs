//! The templates that come with the program.

/// Name and text, one for each file in `templates/`.
pub(super) const SOURCES: [(&str, &str); 14] = [
    (
        "email.en.html",
        include_str!("../../templates/email.en.html"),
    ),
    (
        "email.en.subject",
        include_str!("../../templates/email.en.subject"),
    ),
    ("email.en.txt", include_str!("../../templates/email.en.txt")),
    (
        "email.ko.html",
        include_str!("../../templates/email.ko.html"),
    ),
    (
        "email.ko.subject",
        include_str!("../../templates/email.ko.subject"),
    ),
    ("email.ko.txt", include_str!("../../templates/email.ko.txt")),
    ("kakao.en.txt", include_str!("../../templates/kakao.en.txt")),
    ("kakao.ko.txt", include_str!("../../templates/kakao.ko.txt")),
    (
        "push.en.subject",
        include_str!("../../templates/push.en.subject"),
    ),
    ("push.en.txt", include_str!("../../templates/push.en.txt")),
    (
        "push.ko.subject",
        include_str!("../../templates/push.ko.subject"),
    ),
    ("push.ko.txt", include_str!("../../templates/push.ko.txt")),
    ("sms.en.txt", include_str!("../../templates/sms.en.txt")),
    ("sms.ko.txt", include_str!("../../templates/sms.ko.txt")),
];
