package sealpost.peer;

import static sealpost.peer.Records.LineKind;

/** Amounts, months, quantities and labels as a reader of the bill sees them. Locale 0 is Korean, 1 English. */
final class Words {
    private Words() {}

    private static final String[] MONTHS = {"January", "February", "March", "April", "May", "June", "July", "August",
        "September", "October", "November", "December"};
    private static final String[][] LABELS = {
        {"월정액", "데이터 초과", "부가서비스", "콘텐츠 구매", "약정 할인(25%)", "군인 할인(20%)", "복지 할인", "지난 요금 정산",
            "이월된 금액", "다음 달 이월"},
        {"Monthly plan", "Data overage", "Option", "Content purchases", "Contract discount (25%)",
            "Soldier discount (20%)", "Welfare discount", "Adjustment", "Brought forward", "Carried forward"},
    };

    static String label(LineKind kind, int locale) {
        return LABELS[locale][kind.ordinal()];
    }

    static String won(long amount, int locale) {
        String number = grouped(Math.abs(amount));
        String sign = amount < 0 ? "-" : "";
        return locale == 0 ? sign + number + "원" : sign + "₩" + number;
    }

    static String grouped(long number) {
        String digits = Long.toString(number);
        if (digits.length() <= 3) {
            return digits;
        }
        StringBuilder text = new StringBuilder(digits.length() + digits.length() / 3);
        for (int i = 0; i < digits.length(); i++) {
            if (i > 0 && (digits.length() - i) % 3 == 0) {
                text.append(',');
            }
            text.append(digits.charAt(i));
        }
        return text.toString();
    }

    static String period(String code, int locale) {
        String year = code.substring(0, code.length() - 3);
        int month = Integer.parseInt(code.substring(code.length() - 2));
        return locale == 0 ? Integer.parseInt(year) + "년 " + month + "월" : MONTHS[month - 1] + " " + Integer.parseInt(year);
    }

    static String data(long bytes) {
        bytes = Math.max(0, bytes);
        long unit = bytes >= 1_000_000_000 ? 1_000_000_000 : bytes >= 1_000_000 ? 1_000_000 : bytes >= 1_000 ? 1_000 : 1;
        String name = unit == 1 ? " B" : unit == 1_000 ? " KB" : unit == 1_000_000 ? " MB" : " GB";
        long hundredths = bytes % unit * 100 / unit;
        String fraction = hundredths == 0 ? ""
            : hundredths % 10 == 0 ? "." + hundredths / 10
            : hundredths < 10 ? ".0" + hundredths : "." + hundredths;
        return grouped(bytes / unit) + fraction + name;
    }

    static String voice(long seconds, int locale) {
        seconds = Math.max(0, seconds);
        String[] units = locale == 0 ? new String[] {"시간", "분", "초"} : new String[] {" h", " min", " s"};
        long[] amounts = {seconds / 3600, seconds / 60 % 60, seconds % 60};
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < amounts.length; i++) {
            if (amounts[i] > 0) {
                text.append(text.length() > 0 ? " " : "").append(grouped(amounts[i])).append(units[i]);
            }
        }
        return text.length() > 0 ? text.toString() : locale == 0 ? "0분" : "0 min";
    }

    static String messages(long count, int locale) {
        return grouped(Math.max(0, count)) + (locale == 0 ? "건" : "");
    }

    /** A person's name: the first and the last of three characters stay, of two the first. */
    static String maskedName(String name) {
        int[] characters = name.codePoints().toArray();
        for (int i = 0; i < characters.length; i++) {
            boolean stays = i == 0 && characters.length >= 2 || i == characters.length - 1 && characters.length >= 3;
            characters[i] = stays ? characters[i] : '*';
        }
        return new String(characters, 0, characters.length);
    }

    /** A value from outside as it may stand in a message. */
    static String shown(String text, int charactersMax) {
        boolean fits = text.length() <= charactersMax || text.codePointCount(0, text.length()) <= charactersMax;
        if (fits && text.codePoints().noneMatch(Words::disturbs)) {
            return text;
        }
        StringBuilder clean = new StringBuilder();
        text.codePoints().limit(fits ? charactersMax : charactersMax - 1L)
            .forEach(c -> clean.appendCodePoint(disturbs(c) ? ' ' : c));
        return fits ? clean.toString() : clean.append('…').toString();
    }

    private static boolean disturbs(int c) {
        return Character.isISOControl(c) || c == 0x200e || c == 0x200f || c == 0x061c || c >= 0x2028 && c <= 0x202e
            || c >= 0x2066 && c <= 0x2069 || c == 0xfeff;
    }
}
