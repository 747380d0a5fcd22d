/** The version of this client, which is that of the API it was made from. */
export const VERSION = "0.1.0";
