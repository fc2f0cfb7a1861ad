/**
 * Whom to call in an emergency: number → the countries (ISO 3166-1 numeric, as world-atlas names them) where it is the one
 * to call: the general number where there is one, else that of the police. Written for Wayguard from what the countries and
 * the ITU (Recommendation E.129, national numbering plans) publish. A country that is not here has 112, which a mobile phone
 * takes for an emergency call anywhere.
 */
export const FALLBACK = "112";

export const NUMBERS = {
  "000": ["036"], // Australia
  "100": ["275", "376", "524"], // Palestine, Israel, Nepal
  "102": ["496"], // Mongolia
  "105": ["604"], // Peru
  "106": ["192"], // Cuba
  "110": ["068", "156", "158", "320", "364", "392"], // Bolivia, China, Taiwan, Guatemala, Iran, Japan
  "111": ["554"], // New Zealand
  "113": ["024", "064", "704"], // Angola, Bhutan, Vietnam
  "114": ["332"], // Haiti
  "115": ["740"], // Suriname
  "117": ["116", "120", "450", "768", "204"], // Cambodia, Cameroon, Madagascar, Togo, Benin
  "118": ["558"], // Nicaragua
  "119": ["004", "144", "388", "462", "508"], // Afghanistan, Sri Lanka, Jamaica, Maldives, Mozambique
  "122": ["070", "818"], // Bosnia and Herzegovina, Egypt
  "123": ["170", "426"], // Colombia, Lesotho
  "132": ["132"], // Cabo Verde
  "133": ["152"], // Chile
  "15": ["586"], // Pakistan
  "17": ["012", "466", "562", "686", "854"], // Algeria, Mali, Niger, Senegal, Burkina Faso
  "19": ["504"], // Morocco
  "190": ["076"], // Brazil
  "191": ["418", "764"], // Laos, Thailand
  "192": ["688"], // Serbia
  "197": ["788"], // Tunisia
  "199": ["104"], // Myanmar
  "211": ["052"], // Barbados
  "888": ["706"], // Somalia
  "911": [
    "016", "028", "032", "044", "060", "084", "092", "124", "136", "188", "214", "218", "222", "242", "308", "316", "328", "340", "400",
    "430", "484", "531", "533", "534", "580", "583", "584", "585", "591", "600", "608", "630", "659", "660", "662", "670", "682", "776",
    "796", "840", "850", "858", "862",
  ], // the Americas for the most part, Jordan, Liberia, the Philippines, Saudi Arabia, islands of the Pacific
  "991": ["231"], // Ethiopia
  "993": ["096"], // Brunei
  "999": [
    "048", "050", "072", "184", "212", "238", "344", "404", "446", "458", "480", "570", "634", "690", "702", "716", "729", "748", "780",
    "784", "800", "826", "831", "832", "833", "894",
  ], // the United Kingdom and its islands, and many that took it over: Bangladesh, Hong Kong, Kenya, Malaysia, Singapore, the Emirates …
  "9999": ["512"], // Oman
  "10111": ["516", "710"], // Namibia, South Africa
};
