/** What README.md says that the environment sets. */
final class Settings {
    static final String USER = get("SSH_USER", "me");
    static final String KEY = get("SSH_KEY", "");
    static final String BIND = get("BIND", "localhost");
    static final int ASKED = Integer.parseInt(get("ASKED_PORT", "0"));

    private Settings() {}

    private static String get(String name, String otherwise) {
        String value = System.getenv(name);
        return value == null || value.isEmpty() ? otherwise : value;
    }
}
